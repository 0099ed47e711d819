# Everything that is made here goes to bin/ and build/.

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:

PREFIX ?= /usr/local
DESTDIR ?=
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GOLANGCI_LINT_VERSION := v2.15.0

go := tests/setup-go

# Go remembers results by what its own code reads, and knows nothing of the QEMU,
# the programs and the kernel that these tests are about: hence -count=1. The
# report prints what go test -json says for people, and keeps it for .ci/run.
report = $(go) run ./tests/report -save build/test/$@$(1).json
unit = $$($(go) list ./... | grep -v /tests/)
# Those of the unit tests that run the QEMU which KVMRUN_TEST_QEMU names, or the
# qemu-img beside it.
qemu_tests := ./qmp ./images ./images/store ./launcher/qemu

golangci_lint := build/bin/golangci-lint-$(GOLANGCI_LINT_VERSION)
qemu10 := build/qemu-10.0/qemu-system-x86_64
libvirt := build/libvirt
debian := build/debian/images/names/debian.json

.PHONY: all
all: ## build bin/kvmrun
	@mkdir -p bin
	$(go) build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/kvmrun ./cmd/kvmrun

.PHONY: demo
demo: setup-demo all ## the main job on a real guest, in namespaces of its own (root)
	tests/demo.sh

.PHONY: test
test: setup-test $(debian) ## unit tests with the race detector, then end-to-end tests (root)
	@mkdir -p build/test
	status=0; \
	$(go) test -json -count=1 -race -timeout 15m $(unit) 2>&1 | $(call report,-unit) || status=1; \
	$(go) test -json -count=1 -p 1 -timeout 30m ./tests/... 2>&1 | $(call report,-end-to-end) || status=1; \
	exit $$status

# Guests that take minutes are booted on one QEMU: what they see of the other is
# what the other guests do.
.PHONY: test-qemu-10.0
test-qemu-10.0: setup-test $(qemu10) ## all tests of a real QEMU on 10.0 instead of the machine's own
	@mkdir -p build/test
	KVMRUN_TEST_QEMU=$(CURDIR)/$(qemu10) \
		$(go) test -json -count=1 -p 1 -timeout 30m $(qemu_tests) $$($(go) list ./tests/... | grep -v /tests/reality) 2>&1 | $(report)

.PHONY: kvm-check
kvm-check: setup-test $(debian) ## the end-to-end tests, on a machine that has KVM
	@test -w /dev/kvm || { echo 'kvm-check: /dev/kvm is missing or not writable; turn on virtualisation in the firmware, load kvm_intel or kvm_amd, and run as root' >&2; exit 1; }
	@grep -qwE 'vmx|svm' /proc/cpuinfo || { echo 'kvm-check: the processor offers neither VT-x nor AMD-V' >&2; exit 1; }
	@mkdir -p build/test
	KVMRUN_TEST_ACCEL=kvm $(go) test -json -count=1 -p 1 -timeout 30m ./tests/... 2>&1 | $(report)

# Both measure bin/kvmrun, as it is installed, and write docs/performance.md
# when all has been measured: make bench ONLY=start,stop COUNT=5 only prints.
bench = cd tests/bench && KVMRUN_BIN=$(CURDIR)/bin/kvmrun $(CURDIR)/build/bench/bench.test \
	-test.run '^$$' -test.bench . -test.benchtime 1x -test.timeout 0 \
	-netplumb $(CURDIR)/build/bench/netplumb.test -store $(CURDIR)/docs/performance.md

.PHONY: bench
bench: bench-binaries ## measure, against the same done by hand (root); ONLY=start,stop COUNT=5
	$(bench) -only '$(ONLY)' -count '$(or $(COUNT),0)'

.PHONY: bench-peers
bench-peers: bench-binaries $(libvirt) ## measure against libvirt, which is unpacked, not installed (root)
	$(bench) -only '$(ONLY)' -count '$(or $(COUNT),0)' -peers -libvirt $(CURDIR)/$(libvirt)

.PHONY: bench-binaries
bench-binaries: setup-test all
	@mkdir -p build/bench
	$(go) test -c -o build/bench/ ./tests/bench ./netplumb

$(libvirt):
	tests/bench/setup-libvirt $(CURDIR)/$@

# Both write docs/reliability.md when all was done and all was well.
torture = cd tests/torture && KVMRUN_BIN=$(CURDIR)/bin/kvmrun $(CURDIR)/build/torture/torture.test \
	-test.timeout 0 -store $(CURDIR)/docs/reliability.md

.PHONY: torture
torture: torture-binary ## kill at every system call that changes the host (root); POINT=start/command/all/7, ONLY=stop
	$(torture) -test.run '^TestTorture$$' -every '$(or $(EVERY),1)' -only '$(ONLY)' -point '$(POINT)'

.PHONY: soak
soak: torture-binary ## 1,000 starts and stops with random kills: what grows? (root); CYCLES=100 SEED=7
	$(torture) -test.run '^TestSoak$$' -cycles '$(or $(CYCLES),1000)' -seed '$(or $(SEED),1)'

.PHONY: torture-binary
torture-binary: setup-test all
	@mkdir -p build/torture
	$(go) test -c -o build/torture/torture.test ./tests/torture

# The seeds of all targets are part of make test. What is found goes to Go's own
# cache, and what fails to the package's testdata.
FUZZTIME ?= 30m

.PHONY: fuzz
fuzz: setup-test ## each fuzz target for FUZZTIME=30m, one after another; ONLY=launcher.FuzzLook
	tests/fuzz '$(FUZZTIME)' '$(ONLY)'

.PHONY: lint
lint: setup-test $(golangci_lint) ## gofmt, vet, golangci-lint, shellcheck
	@files=$$(git ls-files '*.go'); \
	if [ -z "$$files" ]; then echo "lint: git lists no Go file of $(CURDIR)" >&2; exit 1; fi; \
	unformatted=$$("$$($(go) env GOROOT)/bin/gofmt" -l $$files); \
	if [ -n "$$unformatted" ]; then echo "not formatted by gofmt:"; echo "$$unformatted"; exit 1; fi
	$(go) vet ./...
	PATH="$$(tests/setup-go-dir):$$PATH" $(golangci_lint) run --allow-parallel-runners ./...
	shellcheck -x $$(git grep -lE '^#!/bin/(sh|bash|busybox sh)|^# shellcheck shell=' -- tests .ci)

# Built by the toolchain that the module is built with: a linter refuses code
# of a newer Go than its own.
$(golangci_lint):
	@mkdir -p build/bin
	@toolchain=$$($(go) env GOVERSION); export GOTOOLCHAIN="$$toolchain" GOBIN=$(CURDIR)/build/bin; \
	$(go) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	mv build/bin/golangci-lint $@

# Built anew when how it is built has changed.
$(debian): $(shell git ls-files images/build) | setup-test all
	bin/kvmrun --data-dir build/debian --run-dir build/debian/run image build debian debian --replace
	@touch $@

$(qemu10):
	tests/setup-qemu-10.0 build/qemu-10.0

.PHONY: setup-demo setup-test
setup-demo setup-test:
	@tests/setup $(patsubst setup-%,%,$@)

.PHONY: install
install: all ## install to $(DESTDIR)$(PREFIX)/bin
	install -D -m 755 bin/kvmrun $(DESTDIR)$(PREFIX)/bin/kvmrun

.PHONY: clean
clean: ## remove bin and build
	rm -rf bin build

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9.-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
