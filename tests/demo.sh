#!/bin/bash
# kvmrun's main job on a real Linux guest, every command shown before it runs.
# Works in two network namespaces of its own; the machine's network is not
# touched. Fails if anything that it says turns out not to be so.
#
# `make demo` installs what is missing, builds kvmrun and runs this, as root.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

readonly host_ns=kvmrun-demo-$$-host lan_ns=kvmrun-demo-$$-lan
work=$(mktemp -d "${TMPDIR:-/tmp}/kvmrun-demo.XXXXXX")
export KVMRUN_RUN_DIR=$work/run KVMRUN_DATA_DIR=$work/data
export PATH=$root/bin:$PATH:/usr/sbin:/sbin

main() {
	trap clean_up EXIT
	trap 'exit 130' HUP INT TERM
	check_able
	say "Two network namespaces: one is the host, the other its LAN. Below," \
		"host# and lan# say where a command runs."
	make_network
	say "A bootable disk: Debian's kernel and a small userland. (Built once, kept in build/guest.)"
	show '' "$root/tests/guest/build.sh" "$root/build/guest"
	show '' cp "$root/build/guest/disk.qcow2" "$work/disk.qcow2"
	cd "$work"
	state host >before-host
	state lan >before-lan

	say "Start it, and return when it answers at its address."
	show host kvmrun start disk.qcow2 --wait net
	show host kvmrun list
	address=$(listed ip) tap=$(listed tap)
	[ -n "$address" ] || fail 'kvmrun list --json names no address'
	[ -n "$tap" ] || fail 'kvmrun list --json names no tap'

	say "What the host has for it: a tap, and a route of one address to it."
	show host ip -brief link show type tun
	show host ip route show
	show host ip neigh show proxy
	contains "$(on host ip route show "$address")" "dev $tap" "the host has no route to $address by $tap"

	say "The LAN reaches it by ping and by TCP, and it reaches the LAN."
	show lan ping -c 3 "$address"
	show lan busybox wget -q -O - "http://$address/"
	contains "$(on lan busybox wget -q -O - "http://$address/")" "$address" "the guest's web page does not name $address"
	prompt lan "echo 'ping -c 1 192.0.2.1; exit' | busybox nc $address 23"
	reply=$(on lan sh -c "echo 'ping -c 1 192.0.2.1; exit' | busybox nc $address 23")
	echo "$reply"
	contains "$reply" ' 0% packet loss' 'the guest does not reach the LAN'

	say "Stop it: the power button first, so that the guest shuts down by itself."
	show host kvmrun stop disk
	[ -z "$(on host kvmrun list -q)" ] || fail 'kvmrun list still has a VM'

	say "Nothing is left: no tap, route, proxy entry, address, process or changed sysctl."
	state host >after-host
	state lan >after-lan
	show '' diff before-host after-host
	show '' diff before-lan after-lan
	[ -z "$(ip netns pids "$host_ns")" ] || fail "processes are left: $(ip netns pids "$host_ns" | xargs ps -o args= -p)"
	say "All of it was so, in $SECONDS seconds."
}

check_able() {
	[ "$(id -u)" = 0 ] || fail 'taps and namespaces need root: run it as root'
	[ -c /dev/net/tun ] || fail 'there is no /dev/net/tun: load the module tun (modprobe tun)'
	[ -x "$root/bin/kvmrun" ] || fail 'bin/kvmrun is missing: run make first'
}

make_network() {
	show '' ip netns add "$host_ns"
	show '' ip netns add "$lan_ns"
	show '' ip -n "$lan_ns" link add eth0 type veth peer name eth0 netns "$host_ns"
	show lan ip link set lo up
	show lan ip address add 192.0.2.1/24 dev eth0
	show lan ip link set eth0 up
	show host ip link set lo up
	show host ip address add 192.0.2.10/24 dev eth0
	show host ip link set eth0 up
	show host ip route add default via 192.0.2.1
	show lan ip route add 10.254.254.0/24 via 192.0.2.10
	wait_until 'eth0 is up in both' settled
}

# listed prints a field of the one VM that kvmrun lists.
listed() {
	on host kvmrun list --json | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" | head -n 1
}

# settled is true when both ends are up and have no tentative address left.
settled() {
	local where
	for where in host lan; do
		[[ $(on $where ip -o link show dev eth0) == *'state UP'* ]] || return 1
		[ -z "$(on $where ip -6 address show dev eth0 tentative)" ] || return 1
	done
}

# wait_until polls a condition for ten seconds.
wait_until() {
	local what=$1 deadline=$((SECONDS + 10))
	shift
	until "$@"; do
		[ $SECONDS -lt $deadline ] || fail "not so after ten seconds: $what"
		sleep 0.05
	done
}

# state prints what kvmrun could have changed in a namespace.
state() {
	on "$1" sh -euc '
		ip -details -oneline link
		ip -oneline address
		ip route show table all
		ip -6 route show table all
		ip rule
		ip -6 rule
		ip neigh show nud permanent
		ip neigh show proxy
		if command -v nft >/dev/null; then nft list ruleset; fi
		grep -rs "" /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf \
			/proc/sys/net/ipv4/neigh /proc/sys/net/ipv6/conf | sort
	'
}

# on runs a command in a namespace: host, lan, or none ('').
on() {
	local where=$1
	shift
	case $where in
	host) ip netns exec "$host_ns" "$@" ;;
	lan) ip netns exec "$lan_ns" "$@" ;;
	*) "$@" ;;
	esac
}

# show prints a command and runs it.
show() {
	prompt "$1" "${*:2}"
	on "$@" || fail "that command failed: ${*:2}"
}

prompt() { printf '\n%s%s# %s%s\n' "$bold" "$1" "$2" "$plain"; }
say() { printf '\n%s\n' "$*"; }

contains() {
	[[ $1 == *"$2"* ]] || fail "$3"
}

fail() {
	printf '\nmake demo: FAILED: %s\n' "$*" >&2
	exit 1
}

clean_up() {
	local status=$? ns pids
	trap '' HUP INT TERM
	if [ $status -ne 0 ] && ip netns pids "$host_ns" >/dev/null 2>&1; then
		printf '\nIts console ended with:\n' >&2
		on host kvmrun logs disk 2>&1 | tail -n 20 >&2 || :
		on host kvmrun stop --all --force >/dev/null 2>&1 || :
	fi
	cd /
	for ns in "$host_ns" "$lan_ns"; do
		pids=$(ip netns pids "$ns" 2>/dev/null) || continue
		# shellcheck disable=SC2086 # a list of numbers
		[ -z "$pids" ] || kill -KILL $pids 2>/dev/null || :
		ip netns delete "$ns" || :
	done
	rm -rf "$work"
	exit $status
}

bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then
	bold=$'\e[1m' plain=$'\e[0m'
fi
main
