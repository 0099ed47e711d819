package netplumb

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the files in testdata")

// TestScriptGolden holds the scripts against files that a person can read.
// Rewrite them with go test -run Golden -update.
func TestScriptGolden(t *testing.T) {
	dotted := lanConfig()
	dotted.Uplink = "eth0.100"
	cases := situations()
	cases["lan vlan"] = dotted
	for name, c := range cases {
		facts := eth0Facts()
		facts.Uplink.Name = c.Uplink
		if c.Uplink == "" {
			facts = Facts{}
		}
		p, err := NewPlan(c, facts)
		if err != nil {
			t.Fatal(err)
		}
		setUp, tearDown, err := p.Script()
		if err != nil {
			t.Fatal(err)
		}
		got := setUp + "\n" + tearDown
		path := filepath.Join("testdata", "script", strings.ReplaceAll(name, " ", "-")+".sh")
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "": "''", "two words": "'two words'", "it's": `'it'\''s'`, "$(id)": "'$(id)'", "a=b:c": "a=b:c",
	} {
		if got := quote(in); got != want {
			t.Errorf("quote(%q) = %s, want %s", in, got, want)
		}
	}
}

// TestScriptDoesTheSame compares Apply with the plan's script through the eyes
// of iproute2 and sysctl, and lets the script's second half undo it.
func TestScriptDoesTheSame(t *testing.T) {
	if !ownNamespace(t) {
		return
	}
	for name, c := range situations() {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			defer l.sh("ip link delete eth0")
			p := l.plan(c)
			files := l.apply(p)
			applied := l.visible()
			closeAll(files)
			l.undo(p)
			before := l.state()

			setUp, tearDown, err := p.Script()
			if err != nil {
				t.Fatal(err)
			}
			look := filepath.Join(t.TempDir(), "look")
			l.sh(setUp + "\n{ " + visibleCommands + "\n} > " + look + "\n" + tearDown)
			scripted, err := os.ReadFile(look)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(applied, comparable(string(scripted))); diff != "" {
				t.Errorf("the script does not do what Apply does (-apply +script):\n%s", diff)
			}
			l.unchanged(before)
		})
	}
}

// visibleCommands show what Apply and the script should agree on.
const visibleCommands = `ip -j -d link show
ip -j -4 address show
ip -j -4 route show table all
ip -j neigh show
ip -j neigh show proxy
sysctl -a -r '^net\.(ipv4|ipv6)\.(conf|neigh)\.(kvm-web|eth0)\.' 2>/dev/null`

// visible is their output with all that two taps can't have in common.
func (l *lab) visible() []string { return comparable(l.sh(visibleCommands)) }

func comparable(out string) []string {
	var lines []string
	for _, line := range strings.Split(out, "\n") {
		if !strings.HasPrefix(line, "[") {
			lines = append(lines, line)
			continue
		}
		var list []map[string]any
		if err := json.Unmarshal([]byte(line), &list); err != nil {
			panic(err)
		}
		for _, object := range list {
			switch "kvm-web" {
			case object["ifname"]:
				withoutPersistence(object)
			case object["dev"]:
				delete(object, "flags") // linkdown
			}
			text, _ := json.Marshal(object)
			lines = append(lines, string(text))
		}
	}
	return lines
}

// withoutPersistence drops what a persistent tap that nobody has opened can't
// share with one that is in use: number, MAC, carrier, queues and owner.
func withoutPersistence(object map[string]any) {
	for _, key := range []string{"ifindex", "address", "operstate", "flags", "qdisc", "num_tx_queues", "num_rx_queues", "linkinfo",
		"gso_max_size", "tso_max_size", "gro_max_size"} {
		delete(object, key)
	}
}
