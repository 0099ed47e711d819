package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kvmrun/tests/lab"
)

// variable is one of a UEFI's, as Linux's efivarfs calls it.
const variable = "/tmp/efi/Kvmrun-6f0d5b6e-4f0e-4c1c-9f0b-7a6a5e0c1d2e"

// mountVariables shows a guest its firmware's variables.
const mountVariables = "insmod /modules/efivarfs.ko; mkdir -p /tmp/efi; mount -t efivarfs none /tmp/efi; "

// TestUEFI boots a disk by UEFI, from files that QEMU gets as descriptors. What the
// guest tells its firmware to keep is there when it starts again.
func TestUEFI(t *testing.T) {
	t.Parallel()
	h := withImage(t, lab.Guest(t).Disk)
	disk := lab.Guest(t).CopyDisk(t)
	variables := filepath.Join(t.TempDir(), "vars, kept.fd")
	args := []string{disk, "--name", "web", "--memory", "256M", "--firmware", "uefi", "--firmware-vars", variables}
	v := h.startNet(t, args...)
	// The first four bytes are attributes: kept, and to be seen by boot loader and system.
	v.guestHas(t, mountVariables+`printf '\7\0\0\0hello' >`+variable+"; echo $?", "0\n")
	h.fails(t, 8, startArgs(lab.BlankDisk(t, "raw"), "--format", "raw", "--memory", "256M", "--firmware", "uefi", "--firmware-vars", variables)...)
	if command := strings.Join(h.inspect(t, "web").Command, " "); strings.Contains(command, variables) || strings.Contains(command, "OVMF") {
		t.Errorf("QEMU is told a path: %s", command)
	}
	h.must(t, "stop", "--force", "web")
	if text, err := os.ReadFile(variables); err != nil || !strings.Contains(string(text), "hello") {
		t.Errorf("the guest's variable is not in the file of %d bytes: %v", len(text), err)
	}

	// A machine with a disk from the store keeps variables and its TPM's state beside it.
	args = []string{"tiny", "--name", "kept", "--memory", "256M", "--firmware", "uefi", "--tpm"}
	v = h.startNet(t, args...)
	v.guestHas(t, mountVariables+`printf '\7\0\0\0hello' >`+variable+"; echo $?", "0\n")
	h.must(t, "stop", "--force", "kept")
	v = h.startNet(t, args...)
	v.guestHas(t, mountVariables+"tail -c +5 "+variable, "hello")
	// swtpm says so when its state is a new one.
	if log, err := os.ReadFile(h.Host.File("/run/kvmrun/vms/kept/swtpm.log")); err != nil || strings.Contains(string(log), "Formatting") {
		t.Errorf("the TPM is new: %s %v", log, err)
	}
	h.must(t, "stop", "--force", "kept")
	h.must(t, "rm", "kept")

	r := h.run(t, startArgs(lab.BlankDisk(t, "raw"), "--format", "raw", "--memory", "256M", "--firmware", "uefi-secure", "--name", "db", "--wait", "console:BdsDxe: ")...)
	if r.ExitCode != 0 {
		t.Errorf("Secure Boot's firmware does not speak: %s", r)
	}
	if command := strings.Join(h.inspect(t, "db").Command, " "); !strings.Contains(command, "smm=on") || !strings.Contains(command, "property=secure,value=on") {
		t.Errorf("SMM does not guard the variables: %s", command)
	}
	h.must(t, "stop", "--force", "db")
	h.isAsBefore(t)
}
