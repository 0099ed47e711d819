package hostcheck

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// FuzzLegacy reads what an iptables may print. Following packets through it ends,
// and whoever is said to block them has a name and a remedy of two commands.
func FuzzLegacy(f *testing.F) {
	f.Add("-P FORWARD DROP\n-N X\n-A FORWARD -i kvm+ -m comment --comment \"a b\" -j X\n-A X ! -o eth0 -j RETURN\n")
	f.Add("-A FORWARD -j FORWARD\n-P FORWARD DROP\n")
	f.Add("-A\n-P FORWARD\n\"\n\\\n! ! -i\n")
	f.Add("-P FORWARD ACCEPT\n-A FORWARD -m set --match-set x src -j DROP\n-A FORWARD -g Y\n-A Y -o kvm+ -m conntrack --ctstate NEW -j REJECT --reject-with icmp-port-unreachable\n")
	f.Fuzz(func(t *testing.T, text string) {
		checkFilter(t, parseLegacy(text))
	})
}

// FuzzKernel reads what the kernel may say by netlink: neighbour tables, and
// rules made of any expressions in any order.
func FuzzKernel(f *testing.F) {
	name := nl.NewRtAttr(attrName, nl.ZeroTerminated("arp_cache")).Serialize()
	limit := nl.NewRtAttr(attrThreshold3, nl.Uint32Attr(1024)).Serialize()
	config := nl.NewRtAttr(attrConfig, make([]byte, 32)).Serialize()
	whole := append([]byte{unix.AF_INET, 0, 0, 0}, append(append(name, limit...), config...)...)
	f.Add(whole)
	f.Add(whole[:len(whole)-30])
	f.Add([]byte{unix.AF_INET})
	f.Add([]byte{unix.AF_INET, 0, 0, 0, 4, 0, attrName, 0})
	f.Add([]byte{0, byte(expr.MetaKeyIIFNAME), 3, 0, 4, 'k', 'v', 'm', 0, 6, 0})
	f.Add([]byte{1, byte(expr.CtKeySTATE), 2, 4, 8, 0, 0, 0, 3, 1, 4, 0, 0, 0, 0, 6, 2})
	f.Add([]byte{11, 1, 12, 4, 2, 4, 255, 255, 255, 0, 3, 0, 4, 10, 254, 254, 0, 6, 0})
	f.Add([]byte{9, 0, 6, 1, 255, 6, 4, 4, 2, 8, 0})
	f.Fuzz(func(t *testing.T, message []byte) {
		if table, _, _ := parseNeighbourTable(message); table.limit < 0 || table.entries < 0 {
			t.Errorf("%+v", table)
		}
		chains := map[string][]rule{}
		for i, exprs := range madeUp(message) {
			chain := []string{"f", "x", "y"}[i%3]
			chains[chain] = append(chains[chain], ruleOf(exprs))
		}
		checkFilter(t, filter{
			name: "inet a", chains: map[string]bool{"f": true}, hooks: []hook{{Forward, "f", drop}, {Input, "x", accept}},
			rules: func(chain string) ([]rule, error) { return chains[chain], nil },
		})
	})
}

// checkFilter follows guests' packets through a filter, with addresses and
// without.
func checkFilter(t *testing.T, f filter) {
	t.Helper()
	packets := host.packets()
	packets[0].Source, packets[0].Destination = netip.MustParseAddr("10.254.254.2"), netip.MustParseAddr("192.0.2.1")
	for _, at := range []Hook{Forward, Input, Prerouting} {
		found, err := f.drops(at, packets)
		if err != nil && !strings.Contains(err.Error(), "jumps to itself") {
			t.Fatal(err)
		}
		for _, d := range found {
			if len(d.Packets) == 0 || d.By == "" || d.Hook != at || d.Unjudged && d.Certain || d.Remedy("kvm*") == "" || d.String() == "" {
				t.Fatalf("%+v", d)
			}
		}
		if r := host.judgeForward(1, found); (r.Status == OK) != (len(found) == 0) {
			t.Fatalf("%d drops are %+v", len(found), r)
		}
	}
}

// madeUp makes rules of bytes: what an expression is, and what is in it.
func madeUp(b []byte) (rules [][]expr.Any) {
	next := func() byte {
		if len(b) == 0 {
			return 0
		}
		first := b[0]
		b = b[1:]
		return first
	}
	text := func() []byte {
		n := min(int(next()), len(b), 64)
		piece := b[:n]
		b = b[n:]
		return piece
	}
	rules = append(rules, nil)
	for len(b) > 0 {
		var e expr.Any
		switch next() % 13 {
		case 0:
			e = &expr.Meta{Key: expr.MetaKey(next())}
		case 1:
			e = &expr.Ct{Key: expr.CtKey(next())}
		case 2:
			e = &expr.Bitwise{Mask: text()}
		case 3:
			e = &expr.Cmp{Op: expr.CmpOp(next()), Data: text()}
		case 4:
			e = &expr.Match{Info: &xt.ConntrackMtinfo3{ConntrackMtinfo2: xt.ConntrackMtinfo2{ConntrackMtinfoBase: xt.ConntrackMtinfoBase{MatchFlags: uint16(next()), InvertFlags: uint16(next())}, StateMask: uint16(next())}}}
		case 5:
			e = &expr.Target{Name: string(text())}
		case 6:
			e = &expr.Verdict{Kind: expr.VerdictKind(int8(next())), Chain: []string{"f", "x", "y", "z"}[next()%4]}
		case 7:
			e = &expr.Reject{}
		case 8:
			e = &expr.Lookup{IsDestRegSet: next()%2 == 0}
		case 9:
			rules = append(rules, nil)
			continue
		case 10:
			e = &expr.Match{Info: new(xt.Comment)}
		case 11:
			e = &expr.Payload{Base: expr.PayloadBase(next() % 4), Offset: uint32(next()), Len: uint32(next())}
		default:
			e = &expr.Counter{}
		}
		rules[len(rules)-1] = append(rules[len(rules)-1], e)
	}
	return rules
}
