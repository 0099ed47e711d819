package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kvmrun/tests/lab"
)

// measureLibvirt compares with virsh on a libvirt whose files are laid over
// the machine's, in the mounts of the lab's host alone.
func measureLibvirt(b *testing.B) []row {
	if *libvirt == "" {
		b.Skip("the subject libvirt needs -libvirt; make bench-peers unpacks it")
	}
	h := newHost(b)
	disk := lab.Guest(b).CopyDisk(b)
	plan := h.plan(b, disk)
	h.runLibvirt(b)
	h.define(b, plan, lab.Guest(b).CopyDisk(b))
	ours := startArgs(disk, "--name", "ours")
	virsh := func(words ...string) { h.MustRun(b, "virsh", append([]string{"-q"}, words...)...) }
	starts := rounds(10,
		func() float64 {
			defer h.stop(b, "ours")
			return taking(func() { h.MustRun(b, "kvmrun", ours...) })
		},
		func() float64 {
			defer virsh("destroy", "theirs")
			return taking(func() { virsh("start", "theirs") })
		})
	h.MustRun(b, "kvmrun", ours...)
	virsh("start", "theirs")
	lists := rounds(20,
		func() float64 { return taking(func() { h.MustRun(b, "kvmrun", "list") }) },
		func() float64 { return taking(func() { virsh("list") }) })
	return []row{
		{
			what: "`start` of a disk image, until it runs", unit: milliseconds,
			kvmrun: starts[0], against: "`virsh start`", other: starts[1], goal: atMost(1. / 6),
		},
		{
			what: "`list` with one VM", unit: milliseconds,
			kvmrun: lists[0], against: "`virsh list`", other: lists[1],
		},
	}
}

// runLibvirt starts libvirt's daemons. Where they write, there is a file
// system in memory.
func (h *host) runLibvirt(b *testing.B) {
	h.MustRun(b, "sh", "-euc", strings.ReplaceAll(`
mount -t overlay overlay -o lowerdir=ROOT/usr:/usr /usr
mount -t overlay overlay -o lowerdir=ROOT/etc:/etc /etc
# Its users are no users here; their names have to be known all the same.
# Its start asks for this machine's name, for ten seconds if nobody answers.
cp /etc/passwd /etc/group /etc/hosts /run/
echo '127.0.0.1 host' >>/run/hosts
echo 'libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin' >>/run/passwd
printf 'libvirt-qemu:x:64055:\nlibvirt:x:64056:\nkvm:x:64057:\n' >>/run/group
for file in passwd group hosts; do mount --bind /run/$file /etc/$file; done
mount -t tmpfs tmpfs /etc/libvirt
mount -t tmpfs tmpfs /var/log
mount -t tmpfs tmpfs /var/cache
cp -a ROOT/etc/libvirt/. /etc/libvirt/
cp -a ROOT/var/log/. /var/log/
cp -a ROOT/var/cache/. /var/cache/
cp -a ROOT/var/lib/libvirt /var/lib/
# It runs QEMU as root, without control groups and AppArmor.
cat >>/etc/libvirt/qemu.conf <<-END
	user = "root"
	group = "root"
	security_driver = "none"
	cgroup_controllers = []
END
printf 'auth_unix_rw = "none"\nunix_sock_group = "root"\n' >>/etc/libvirt/libvirtd.conf
echo 'log_outputs = "2:file:/var/log/libvirtd.log"' >>/etc/libvirt/libvirtd.conf
virtlogd -d
libvirtd -d 2>/var/log/libvirtd.log
`, "ROOT", *libvirt))
	lab.Eventually(b, 30*time.Second, func() error {
		if r := h.Run(b, "virsh", "-q", "list"); r.ExitCode != 0 {
			return fmt.Errorf("%s\n%s", r, h.MustRun(b, "cat", "/var/log/libvirtd.log"))
		}
		return nil
	})
}

// define describes to libvirt the domain "theirs", which is what kvmrun would
// start according to the plan, but for the disk.
func (h *host) define(b *testing.B, p plan, disk string) {
	kind := "qemu"
	if p.Spec.Accel == "kvm" {
		kind = "kvm"
	}
	domain := strings.NewReplacer("KIND", kind, "EMULATOR", p.Command[0], "DISK", disk, "MAC", p.Spec.Network.MAC).Replace(`
<domain type='KIND'>
  <name>theirs</name>
  <memory unit='MiB'>128</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <features><acpi/></features>
  <cpu mode='maximum'/>
  <devices>
    <emulator>EMULATOR</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='DISK'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <interface type='ethernet'>
      <mac address='MAC'/>
      <target dev='theirs'/>
      <model type='virtio'/>
    </interface>
    <serial type='pty'/>
    <rng model='virtio'><backend model='builtin'/></rng>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
`)
	path := filepath.Join(b.TempDir(), "domain.xml")
	if err := os.WriteFile(path, []byte(domain), 0o644); err != nil {
		b.Fatal(err)
	}
	h.MustRun(b, "virsh", "-q", "define", path)
}
