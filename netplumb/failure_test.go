package netplumb

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestApplyHalfWay makes a step fail for real, each kind once.
func TestApplyHalfWay(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	for _, c := range []struct {
		name, spoil string
		want        []error
	}{
		{"tap exists", "ip tuntap add dev kvm-web mode tap", []error{ErrTapExists, unix.EBUSY}},
		{"veth of that name", "ip link set lan0 name kvm-web", []error{ErrTapExists, unix.EBUSY}},
		{"route exists", "ip route add 10.254.254.2/32 dev lan0", []error{ErrAddressRouted, unix.EEXIST}},
		{"uplink gone", "ip link delete eth0", []error{ErrNoUplink}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t)
			defer l.sh("for i in eth0 kvm-web; do ip link delete $i || :; done")
			p := l.plan(subnetConfig())
			l.sh(c.spoil)
			before := l.state()
			files, err := p.Apply(context.Background(), l.Host)
			closeAll(files)
			for _, want := range c.want {
				if !errors.Is(err, want) {
					t.Errorf("error %q is not %q", err, want)
				}
			}
			l.unchanged(before)
		})
	}
	t.Run("journal unwritable at the last step", func(t *testing.T) {
		l := newLab(t)
		defer l.sh("ip link delete eth0")
		p := l.plan(subnetConfig())
		before := l.state()
		blocked := filepath.Join(l.dir, aliasKey(p.UplinkIndex, p.Config.Gateway))
		if err := os.WriteFile(blocked, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		files, err := p.Apply(context.Background(), l.Host)
		closeAll(files)
		if !errors.Is(err, unix.ENOTDIR) {
			t.Errorf("error %v is not ENOTDIR", err)
		}
		if err := os.Remove(blocked); err != nil {
			t.Fatal(err)
		}
		l.unchanged(before)
	})
	t.Run("cancelled", func(t *testing.T) {
		l := newLab(t)
		defer l.sh("ip link delete eth0")
		before := l.state()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		files, err := l.plan(subnetConfig()).Apply(ctx, l.Host)
		closeAll(files)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		l.unchanged(before)
	})
}

// TestApplyTwice makes sure that a failing second start does not harm the first.
func TestApplyTwice(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	p := l.plan(subnetConfig())
	l.apply(p)
	before := l.state()
	if _, err := l.plan(subnetConfig()).Apply(context.Background(), l.Host); !errors.Is(err, ErrTapExists) {
		t.Errorf("second Apply: %v", err)
	}
	twin := subnetConfig()
	twin.Tap = "kvm-twin"
	if _, err := l.plan(twin).Apply(context.Background(), l.Host); !errors.Is(err, ErrAddressRouted) {
		t.Errorf("Apply of the same address on another tap: %v", err)
	}
	l.unchanged(before)
	l.allWell(p)
}

// TestApplyWithoutPrivilege drops CAP_NET_ADMIN.
func TestApplyWithoutPrivilege(t *testing.T) {
	applyFailsOnThread(t, func() error {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		return unix.Capset(&header, &make([]unix.CapUserData, 2)[0])
	}, ErrPermission, unix.EPERM)
}

// TestApplyWithoutTun hides /dev/net/tun in a mount namespace.
func TestApplyWithoutTun(t *testing.T) {
	applyFailsOnThread(t, func() error {
		err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			err = unix.Mount("none", "/dev/net", "tmpfs", 0, "")
		}
		return err
	}, ErrNoTun, unix.ENOENT)
}

// applyFailsOnThread applies a plan on a thread that was crippled before and dies
// with its goroutine. It must fail with all of the errors and change nothing.
func applyFailsOnThread(t *testing.T, cripple func() error, want ...error) {
	t.Helper()
	if !ownNamespace(t) {
		return
	}
	l := newLab(t)
	p := l.plan(subnetConfig())
	before := l.state()
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := cripple()
		if err == nil {
			_, err = p.Apply(context.Background(), l.Host)
		}
		result <- err
	}()
	got := <-result
	for _, err := range want {
		if !errors.Is(got, err) {
			t.Errorf("error %v, want %v", got, err)
		}
	}
	l.unchanged(before)
}
