package launcher

import (
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"kvmrun/netplumb"
	"kvmrun/netplumb/hostcheck"
)

// FuzzWords reads words of the command line: whatever stands where a size, a
// user, a name, a condition, a MAC, an address or a subnet should, it is a usage
// error or a value that is what it was when it is written and read again. And
// what a program says that calls itself QEMU.
func FuzzWords(f *testing.F) {
	for _, seed := range []string{
		"512M", "1.5G", "2", "0.1K", "9e9", "", "-1", "8388607T", "1024KiB", "\x00M",
		"1890000000:1000000", "1:4294967294", "1:4294967295", "0:1", "1000:1000", "1000", "4294967295",
		"web.qcow2", "/", "..", "büro", "\xff\xfe", "a\x00b", strings.Repeat("é", 100),
		"none", "ssh", "exit", "port:80", "port:65536", "port:+1", "console:a|b", "console:(?i)x", "console:[", "console:)(",
		"52:54:0a:fe:fe:02", "5254.0afe.fe02", "53:54:0a:fe:fe:02", "00:00:00:00:00:00", "02:00:5e:10:00:00:00:01",
		"10.254.254.2", "fe80::1%/../x", "::ffff:10.0.0.1", "0.0.0.0", "10.254.254.0/24", "10.0.0.1/8", "0.0.0.0/0", "::/0", "10.0.0.0/31", "10.0.0.0/32",
		"QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)", "version 99999999999999999999.1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		wordIsSize(t, text)
		wordIsUser(t, text)
		wordIsName(t, text)
		wordIsCondition(t, text)
		wordIsAddress(t, text)
		if c := judgeQEMU("qemu", []byte(text)); (c.Status == hostcheck.OK) != (c.Remedy == "") || strings.Trim(c.Have, "0123456789.") != "" && c.Status == hostcheck.OK {
			t.Errorf("%q: %+v", text, c)
		}
	})
}

// refused fails the test unless err is a usage error in one line.
func refused(t *testing.T, text string, err error) {
	t.Helper()
	if KindOf(err) != KindUsage {
		t.Errorf("%q: %v is no usage error", text, err)
	}
}

// wordIsSize: less than the smallest unit is lost.
func wordIsSize(t *testing.T, text string) {
	t.Helper()
	bytes, err := ParseSize(text)
	if err != nil {
		refused(t, text, err)
		return
	}
	if bytes < 0 {
		t.Fatalf("%q is %d bytes", text, bytes)
	}
	if bytes == 0 || bytes%(1<<10) != 0 {
		return
	}
	if again, err := ParseSize(FormatSize(bytes)); err != nil || again != bytes {
		t.Errorf("%q is %d bytes, written %s, which is %d, %v", text, bytes, FormatSize(bytes), again, err)
	}
}

func wordIsUser(t *testing.T, text string) {
	t.Helper()
	if u, err := ParseUIDs(text); err != nil {
		refused(t, text, err)
	} else if again, err := ParseUIDs(u.String()); err != nil || again != u || u.First == 0 || u.First+(u.Count-1) < u.First {
		t.Errorf("%q is %s, then %s (%v)", text, u, again, err)
	}
	if c, err := ParseCredentials(text); err != nil {
		refused(t, text, err)
	} else if c.UID == 0 || c.GID == 0 || c.UID == 1<<32-1 || c.GID == 1<<32-1 {
		t.Errorf("%q is %+v", text, c)
	}
}

func wordIsName(t *testing.T, text string) {
	t.Helper()
	if err := CheckName(nameFor(text)); err != nil {
		t.Errorf("an image %q: %v", text, err)
	}
	if err := CheckName(text); err != nil {
		refused(t, text, err)
		return
	}
	tap := tapName(text)
	if filepath.Base(text) != text || strings.HasPrefix(text, ".") || len(tap) > maxIfName || tap == tapPrefix || strings.ContainsAny(tap, "/: \n") {
		t.Errorf("a VM called %q on %q", text, tap)
	}
}

func wordIsCondition(t *testing.T, text string) {
	t.Helper()
	c, err := ParseCondition(text)
	if err != nil {
		refused(t, text, err)
		return
	}
	if pattern, ok := strings.CutPrefix(text, consolePrefix); ok {
		if _, err := regexp.Compile(pattern); err != nil {
			t.Errorf("%q is taken, and is no expression by itself: %v", pattern, err)
		}
	}
	if c.String() != text {
		t.Errorf("%q became %q", text, c)
	}
}

// wordIsAddress reads --mac, --ip and --subnet. What is taken can be chosen from
// and planned with.
func wordIsAddress(t *testing.T, text string) {
	t.Helper()
	if mac, err := netplumb.ParseMAC(text); err == nil {
		if again, err := netplumb.ParseMAC(mac.String()); err != nil || again != mac || mac[0]&1 != 0 {
			t.Errorf("%q is %s, then %s (%v)", text, mac, again, err)
		}
	} else if KindOf(err) != KindAddress {
		t.Errorf("%q: %v", text, err)
	}
	if addr, err := netip.ParseAddr(text); err == nil {
		err := netplumb.CheckAddress(addr, DefaultSubnet, netip.MustParseAddr("10.254.254.1"))
		if (err == nil) != (DefaultSubnet.Contains(addr) && addr.As4()[3] > 1 && addr.As4()[3] < 255) {
			t.Errorf("--ip %q: %v", text, err)
		}
	}
	subnet, err := netip.ParsePrefix(text)
	if err != nil || netplumb.CheckSubnetPrefix(subnet) != nil {
		return
	}
	gateway := netplumb.DefaultGateway(subnet)
	first, err := netplumb.NextFree(subnet, gateway, func(netip.Addr) bool { return false })
	if err != nil {
		t.Fatalf("--subnet %q: %v", text, err)
	}
	if !gateway.IsValid() {
		return // a /32 has no room for one
	}
	if err := netplumb.CheckAddress(first, subnet, gateway); err != nil {
		t.Errorf("--subnet %q: the first guest has %s: %v", text, first, err)
	}
}
