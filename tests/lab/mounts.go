package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// furnish gives the calling process's mount namespace what a world has of its
// own. The path qemu, if not empty, is that of the QEMU under test.
func furnish(name, resolvConf, qemu string) error {
	if err := unix.Sethostname([]byte(name)); err != nil {
		return os.NewSyscallError("sethostname", err)
	}
	steps := []func() error{
		func() error { return mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
		func() error { return mount("proc", "/proc", "proc", nothing, "") },
		func() error { return mount("sysfs", "/sys", "sysfs", nothing, "") },
		privateDataDir,
		privateTun,
		func() error { return showQEMU(qemu) },
		func() error { return mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755") },
		func() error { return placeResolvConf(resolvConf) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// nothing are the mount flags of file systems that hold no programs.
const nothing = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

func mount(source, target, kind string, flags uintptr, data string) error {
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		return fmt.Errorf("mount %s at %s: %w", kind, target, err)
	}
	return nil
}

// privateDataDir makes an empty /var/lib/kvmrun without leaving a mount point
// on the machine's disk: a new /var/lib takes the old one's entries, except
// kvmrun's.
func privateDataDir() error {
	const lib, fresh = "/var/lib", "/run"
	entries, err := os.ReadDir(lib)
	if err != nil {
		return err
	}
	if err := mount("tmpfs", fresh, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return err
	}
	for _, dir := range []string{"kvmrun", "misc"} { // dnsmasq keeps its leases in misc
		if err := os.Mkdir(filepath.Join(fresh, dir), 0o755); err != nil {
			return err
		}
	}
	for _, e := range entries {
		if !e.IsDir() || e.Name() == "kvmrun" || e.Name() == "misc" {
			continue
		}
		from, to := filepath.Join(lib, e.Name()), filepath.Join(fresh, e.Name())
		if err := os.Mkdir(to, 0o755); err != nil {
			return err
		}
		if err := mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return err
		}
	}
	return mount(fresh, lib, "", unix.MS_MOVE, "")
}

// privateTun makes a /dev/net/tun with the mode that udev gives it, so that a
// test which changes the mode changes no other's.
func privateTun() error {
	const dir, major, minor = "/dev/net", 10, 200 // Documentation/networking/tuntap.rst
	if err := mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=755"); err != nil {
		return err
	}
	path := filepath.Join(dir, "tun")
	if err := unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(major, minor))); err != nil {
		return &os.PathError{Op: "mknod", Path: path, Err: err}
	}
	return os.Chmod(path, 0o666)
}

// showQEMU mounts the directory of the QEMU under test where all can reach it.
func showQEMU(qemu string) error {
	if qemu == "" {
		return nil
	}
	if err := os.Mkdir(qemuDir, 0o755); err != nil {
		return err
	}
	return mount(filepath.Dir(qemu), qemuDir, "", unix.MS_BIND, "")
}

// placeResolvConf puts content where /etc/resolv.conf is read. The real file
// may be a symbolic link into the /run that the world no longer sees.
func placeResolvConf(content string) error {
	const path = "/etc/resolv.conf"
	target, err := os.Readlink(path)
	if err != nil {
		target = path
	} else if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(path), target)
	}
	if strings.HasPrefix(target, "/run/") {
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, []byte(content), 0o644)
	}
	const source = "/run/resolv.conf"
	if err := os.WriteFile(source, []byte(content), 0o644); err != nil {
		return err
	}
	return mount(source, target, "", unix.MS_BIND, "")
}
