package netplumb

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/sys/unix"
)

// FuzzPlan reads stored plans. One is either refused with a reason that can be
// tested, or everything it names is what a plan of NewPlan's could name: its
// steps touch no path outside the journal, and its commands are words that no
// shell and no terminal take for more.
func FuzzPlan(f *testing.F) {
	for _, c := range situations() {
		facts := eth0Facts()
		if c.Uplink == "" {
			facts = Facts{}
		}
		p, err := NewPlan(c, facts)
		if err != nil {
			f.Fatal(err)
		}
		text, err := json.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		for _, spoil := range [][2]string{
			{"", ""},
			{`"version":1`, `"version":2`},
			{`"tap_address":"10.254.254.1"`, `"tap_address":"fe80::1%;reboot"`},
			{`"alias":{"address":"10.254.254.1"`, `"alias":{"address":"fe80::1%/../../../etc"`},
			{`"label":"eth0:0"`, `"label":"eth0:0 up; reboot"`},
			{`"uplink_index":3`, `"uplink_index":-3`},
			{`"tap":"`, `"tap":"../`},
			{`"lan":{"prefix":`, `"lan":{"host":"::","prefix":`},
		} {
			f.Add([]byte(strings.Replace(string(text), spoil[0], spoil[1], 1)))
		}
		for cut := 0; cut < len(text); cut += 50 {
			f.Add(text[:cut])
		}
	}
	f.Add([]byte(`{"version":1,"config":null,"alias":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var p Plan
		if json.Unmarshal(text, &p) != nil {
			return
		}
		if err := p.Check(); err != nil {
			if !errors.Is(err, ErrConfig) && !errors.Is(err, ErrAddressInvalid) {
				t.Fatalf("refused for no known reason: %v", err)
			}
			return
		}
		checkSteps(t, &p)
		checkCommands(t, &p)
	})
}

// checkSteps looks at what the steps would touch.
func checkSteps(t *testing.T, p *Plan) {
	t.Helper()
	steps, err := p.steps()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		shared, ok := s.(sharedStep)
		if !ok {
			continue
		}
		for _, name := range []string{shared.key(), shared.holder.String()} {
			if name == "" || name[0] == '.' || filepath.Base(name) != name {
				t.Fatalf("%s is journalled as %q", s, name)
			}
		}
		if path, ok := shared.resource.(uplinkSysctl); ok && filepath.Clean(path.path()) != path.path() {
			t.Fatalf("%s is the file %q", s, path.path())
		}
	}
}

// checkCommands looks at what a person may be told to run, and that it is the
// same after the plan was stored once more.
func checkCommands(t *testing.T, p *Plan) {
	t.Helper()
	all, err := p.Commands()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		for i, line := range append(append([]string{c.Step}, c.Do...), c.Undo...) {
			if strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Fatalf("%q cannot be printed", line)
			}
			free := strings.ReplaceAll(line, quote(p.Config.Alias), "")
			if i > 0 && strings.ContainsAny(free, ";&`<>*?'\\|") && !strings.HasPrefix(line, "test ! -e /proc/sys/net/ipv6 || ") {
				t.Fatalf("more than a command: %q", line)
			}
		}
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var again Plan
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if same, err := again.Commands(); err != nil || !reflect.DeepEqual(same, all) {
		t.Fatalf("stored again it is another plan (%v):\n%q\n%q", err, all, same)
	}
}

// FuzzMessages reads what comes on a netlink socket: datagrams cut in the wrong
// places, attributes of the wrong size. What is made of them is whole or not
// there, and what is written is read again.
func FuzzMessages(f *testing.F) {
	wrap := func(typ uint16, body []byte) []byte {
		m := newMessage(typ, 0, body)
		binary.NativeEndian.PutUint32(m.b, uint32(len(m.b)))
		return m.b
	}
	cfg := subnetConfig()
	for _, m := range []*message{
		setTap(3, cfg), setProxyDelay(3), addTapAddress(3, cfg.Address), addRoute(3, cfg.Address, cfg.Gateway),
		addNeighbour(3, cfg.Address, cfg.MAC), addProxy(3, cfg.Address),
		addAlias(3, Alias{Address: cfg.Gateway, Label: "eth0:0"}),
	} {
		whole := wrap(binary.NativeEndian.Uint16(m.b[4:]), m.b[unix.SizeofNlMsghdr:])
		f.Add(whole)
		f.Add(whole[:len(whole)-3])
		f.Add(append(bytes.Clone(whole), whole...))
	}
	refused := binary.NativeEndian.AppendUint32(nil, uint32(0xffffffff)) // EPERM
	f.Add(wrap(unix.NLMSG_ERROR, append(refused, make([]byte, 40)...)))
	f.Add(wrap(unix.NLMSG_DONE, []byte{0, 0, 0, 0}))
	f.Add([]byte{17, 0, 0, 0})
	f.Fuzz(func(t *testing.T, datagram []byte) {
		seen := 0
		_ = messages(datagram, 0, func(_, _ uint16, body []byte) error {
			seen += unix.SizeofNlMsghdr + len(body)
			checkBody(t, body)
			return nil
		})
		if seen > len(datagram) {
			t.Fatalf("%d bytes of %d", seen, len(datagram))
		}
		checkBody(t, datagram) // reaches further than most datagrams do
	})
}

// checkBody gives a message's body to all that read one.
func checkBody(t *testing.T, body []byte) {
	t.Helper()
	if a, ok := parseAddress(body); ok && (!a.Prefix.IsValid() || !a.Prefix.Addr().Is4()) {
		t.Fatalf("address %+v", a)
	}
	if rt, ok := parseRoute(body); ok && (!rt.dst.IsValid() || !rt.dst.Addr().Is4() || rt.via.IsValid() && !rt.via.Is4()) {
		t.Fatalf("route %+v", rt)
	}
	if l := parseLink(body); strings.Contains(l.name+l.alias, "\x00") || len(l.name)+len(l.alias) > len(body) {
		t.Fatalf("link %+v", l)
	}
	_ = parseNeighbour(body)
	var errno unix.Errno
	if err := kernelError(body); err != nil && !errors.As(err, &errno) {
		t.Fatalf("an error without a number: %v", err)
	}
	m := newMessage(0, 0, nil)
	type attribute struct {
		typ  uint16
		data string
	}
	var first, second []attribute
	for typ, data := range attributes(body) {
		first = append(first, attribute{typ, string(data)})
		m.attr(typ, data)
	}
	for typ, data := range attributes(m.b[unix.SizeofNlMsghdr:]) {
		second = append(second, attribute{typ, string(data)})
	}
	if !reflect.DeepEqual(first, second) {
		t.Fatalf("written and read again:\n%v\n%v", first, second)
	}
}

// FuzzJournal lets go of a change of which the record is rotten. Nothing is
// written but what the record says was there before, and only over what it says
// kvmrun has set; an error names the file.
func FuzzJournal(f *testing.F) {
	for _, seed := range []string{
		`{"old":"0","set":"1"}`, `{"old":"0","set":"1","governor":"0"}`, `{"old":"","set":"10.254.254.1/32 scope 0 proto 82"}`,
		"", "{}", "null", "[]", `{"old":"0","se`, `{"old":1}`, `{"old":"../../etc","set":"1","more":{}}`, "\x00\xff",
	} {
		f.Add([]byte(seed), "1")
	}
	j := holds{f.TempDir()}
	f.Fuzz(func(t *testing.T, record []byte, have string) {
		dir := filepath.Join(j.dir, "setting")
		if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(filepath.Join(dir, holdersDir), 0o700),
			os.WriteFile(filepath.Join(dir, changeFile), record, 0o600)); err != nil {
			t.Fatal(err)
		}
		s := &setting{value: have}
		err := j.release(s, "web")
		var want change
		readable := json.Unmarshal(record, &want) == nil
		switch {
		case err != nil && (readable || !strings.Contains(err.Error(), filepath.Join(dir, changeFile))):
			t.Fatalf("%q: %v", record, err)
		case err == nil && !readable:
			t.Fatalf("%q passes for a record", record)
		case s.value != have && (want.Set != have || want.Old != s.value):
			t.Fatalf("%q: %q became %q", record, have, s.value)
		}
		if left, err := os.ReadDir(j.dir); err != nil || len(left) > 2 {
			t.Fatal(fmt.Sprint(left), err)
		}
	})
}

// TestPlanOfAnother says what a stored plan may not say.
func TestPlanOfAnother(t *testing.T) {
	zoned := netip.MustParseAddr("fe80::1%/../../../etc")
	for name, spoil := range map[string]func(*Plan){
		"another version":        func(p *Plan) { p.Version = 2 },
		"a path for an alias":    func(p *Plan) { p.Alias.Address = zoned },
		"a stranger's alias":     func(p *Plan) { p.Alias.Address = netip.MustParseAddr("192.168.1.1") },
		"a command for a label":  func(p *Plan) { p.Alias.Label = "eth0:0;id" },
		"no label":               func(p *Plan) { p.Alias.Label = "" },
		"a path on the tap":      func(p *Plan) { p.TapAddress = zoned },
		"a stranger's tap":       func(p *Plan) { p.TapAddress = netip.MustParseAddr("192.168.1.1") },
		"no host on the LAN":     func(p *Plan) { p.LAN, p.Alias, p.TapAddress = new(LAN), nil, netip.Addr{} },
		"a path on the LAN":      func(p *Plan) { p.LAN, p.Alias, p.TapAddress = &LAN{Host: zoned}, nil, zoned },
		"an uplink of no number": func(p *Plan) { p.UplinkIndex = 0 },
	} {
		p, err := NewPlan(subnetConfig(), eth0Facts())
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
		spoil(p)
		if err := p.Check(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
