package torture

import (
	"fmt"
	"testing"

	"kvmrun/tests/lab"
)

// What is disturbed is the VM called torture; beside it may run another.
const (
	other     = "torture-2"
	lanGuest  = "192.0.2.50"
	uplink    = "up0"
	uplinkNow = 101 // the uplink's number, before and after
	uplinkOld = 102 // that it has when the VM is started
)

// startTwo starts two VMs, each of whose supervisors keeps an eye on the other's.
func startTwo(t *testing.T, m *machine) error {
	t.Helper()
	for _, name := range []string{"torture", other} {
		if _, err := m.run(t, frozenAs(t, name)...); err != nil {
			return err
		}
	}
	return nil
}

// killSupervisor kills one, and takes its VM's route away, which the next one
// puts back when it has come to look. If that is killed before it has told of
// this, yet another one adopts the VM.
func killSupervisor(t *testing.T, m *machine) string {
	t.Helper()
	return fmt.Sprintf("kill -KILL %d; ip route delete 10.254.254.2\n", m.pids(t, "torture")["supervisor"]) +
		m.until(t, other, `ip route show 10.254.254.2 | grep -q . && [ "$(grep -c -e '"adopted"' -e '"repaired"' events.jsonl)" -ge 2 ]`)
}

func killVM(t *testing.T, m *machine) string {
	t.Helper()
	pids := m.pids(t, "torture")
	return fmt.Sprintf("kill -KILL %d %d\n", pids["supervisor"], pids["QEMU"]) + m.until(t, other, "false")
}

func startInLAN(t *testing.T, m *machine) error {
	_, err := m.run(t, frozenAs(t, "torture", "--ip", lanGuest)...)
	return err
}

// spoilNetwork takes the VM's route and proxy entry, and has the uplink flap, which
// takes proxy entries with it, others' too, and the default route.
func spoilNetwork(t *testing.T, m *machine) string {
	t.Helper()
	return fmt.Sprintf(`
		addresses=$(ip -6 -o address show dev eth0)
		ip neigh delete proxy %[1]s dev eth0; ip route delete %[1]s
		ip link set eth0 down; ip link set eth0 up
		until ip -o link show dev eth0 | grep -q 'state UP' && [ "$(ip -6 -o address show dev eth0)" = "$addresses" ]; do sleep 0.02; done
		ip neigh add proxy 10.254.254.9 dev eth0 nud permanent
		ip route add default via %[2]s
		`, lanGuest, lab.LANAddress) +
		m.until(t, "torture", "ip route show "+lanGuest+" | grep -q . && ip neigh show proxy | grep -q "+lanGuest, "announced")
}

// startBehindUplink starts a VM behind an uplink of its own. The host is as it was
// before when that has its other number again.
func startBehindUplink(t *testing.T, m *machine) error {
	t.Helper()
	if r := m.Host.Run(t, "ip", "link", "show", uplink); r.ExitCode != 0 {
		m.Host.MustRun(t, "sh", "-euc", makeUplink(uplinkNow))
		m.before = m.Host.Snapshot(t).WithoutSkeleton()
	}
	m.Host.MustRun(t, "sh", "-euc", "ip link delete "+uplink+makeUplink(uplinkOld))
	_, err := m.run(t, frozenAs(t, "torture", "--uplink", uplink)...)
	return err
}

// makeUplink is a script that makes an uplink with a number.
func makeUplink(index int) string {
	return fmt.Sprintf(`
		ip link add %[1]s index %[2]d address 02:00:00:00:00:01 type veth peer name peer index 201 address 02:00:00:00:00:02
		for link in %[1]s peer; do
			test ! -e /proc/sys/net/ipv6 || echo 1 >/proc/sys/net/ipv6/conf/$link/disable_ipv6
			ip link set $link up
		done
		ip address add 203.0.113.1/24 dev %[1]s
		until [ "$(ip -o link show type veth | grep -c -E ' (%[1]s|peer)@.* state UP ')" = 2 ]; do sleep 0.02; done
		`, uplink, index)
}

func replaceUplink(t *testing.T, m *machine) string {
	t.Helper()
	return "ip link delete " + uplink + makeUplink(uplinkNow) + m.until(t, "torture",
		"ip neigh show proxy dev "+uplink+" | grep -q . && ip address show dev "+uplink+" | grep -q 10.254.254.1", "announced")
}

// until is the end of a script: it waits until a command succeeds and an event of
// each kind is written down, or the VM is gone or failed, or the supervisor is gone
// that is to see to it. It fails if none comes to pass.
func (m *machine) until(t *testing.T, overseer, done string, events ...string) string {
	t.Helper()
	for _, event := range events {
		done += fmt.Sprintf(" && grep -qs '\"%s\"' events.jsonl", event)
	}
	return fmt.Sprintf(`
		cd /run/kvmrun/vms/torture || exit 0
		n=0
		until { %s; } || grep -qs '"phase": *"failed"' state.json || ! [ -e /run/kvmrun/vms/torture ] || ! kill -0 %d 2>/dev/null; do
			n=$((n + 1))
			[ $n -lt 1000 ] # 20 s at least
			sleep 0.02
		done
		`, done, m.pids(t, overseer)["supervisor"])
}
