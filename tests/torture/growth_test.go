package torture

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// growth is what was counted, each time that was looked.
type growth struct{ series []*series }

// series are the values of one quantity.
type series struct {
	name string
	// tolerance is how much more may be found at the end, all in all and for
	// each cycle. What tolerates some for each says nothing of few cycles.
	tolerance, perCycle float64
	values              []float64
}

// add counts once more.
func (g *growth) add(name string, value, tolerance, perCycle float64) {
	i := slices.IndexFunc(g.series, func(s *series) bool { return s.name == name })
	if i < 0 {
		i = len(g.series)
		g.series = append(g.series, &series{name: name, tolerance: tolerance, perCycle: perCycle})
	}
	g.series[i].values = append(g.series[i].values, value)
}

// look counts everything on a host on which only the lasting VMs run.
func (g *growth) look(t *testing.T, m *machine) {
	t.Helper()
	for _, name := range lasting {
		g.lookAtProcesses(t, m, name)
	}
	var files, bytes float64
	for _, dir := range []string{"/run", "/var/lib"} {
		var fs unix.Statfs_t
		if err := unix.Statfs(m.Host.File(dir), &fs); err != nil {
			t.Fatal(err)
		}
		files += float64(fs.Files - fs.Ffree)
		bytes += float64(fs.Blocks-fs.Bfree) * float64(fs.Bsize)
	}
	// The lasting VMs write events and logs, which are bounded.
	g.add("files in the host's file systems, those without names too", files, 0, 0)
	g.add("KiB in them", bytes/1024, 256, 0)
	g.add("processes", float64(len(m.Host.Processes(t))), 0, 0)
	g.lookAtHost(t, m)
	g.lookAtKernel(t)
}

// lookAtProcesses counts what the processes of a lasting VM have.
func (g *growth) lookAtProcesses(t *testing.T, m *machine, name string) {
	t.Helper()
	for what, pid := range m.pids(t, name) {
		proc := m.Host.File(fmt.Sprintf("/proc/%d/", pid))
		fds, err := filepath.Glob(proc + "fd/*")
		if err != nil {
			t.Fatal(err)
		}
		// A supervisor may have opened another VM's folder, to look after it.
		g.add(fmt.Sprintf("descriptors of %s of %s", what, name), float64(len(fds)), 2, 0)
		status, err := os.ReadFile(proc + "status")
		if err != nil {
			t.Fatal(err)
		}
		// Go's heap breathes, and its stacks are given back late.
		g.add(fmt.Sprintf("KiB of memory of %s of %s", what, name), field(string(status), "RssAnon:"), 2048, 0)
		g.add(fmt.Sprintf("threads of %s of %s", what, name), field(string(status), "Threads:"), 2, 0)
	}
}

// lookAtHost counts what the kernel has for this host alone.
func (g *growth) lookAtHost(t *testing.T, m *machine) {
	t.Helper()
	for _, count := range []struct{ name, script string }{
		{"links", "ip -o link | wc -l"},
		{"addresses", "ip -o addr | wc -l"},
		{"routes in all tables", "ip route show table all | wc -l"},
		{"neighbours and proxies", "{ ip neigh show nud permanent; ip neigh show proxy; } | wc -l"},
		{"sockets", "ss -Hatuw0x | grep -vc TIME-WAIT"},
		{"locks", "wc -l </proc/locks"},
		{"inotify watches", "cat /proc/[0-9]*/fdinfo/* 2>/dev/null | grep -c ^inotify; true"},
		{"settings below /proc/sys/net", "find /proc/sys/net -type f | wc -l"},
	} {
		text := m.Host.MustRun(t, "sh", "-c", count.script)
		value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil {
			t.Fatalf("%s: %v", count.name, err)
		}
		g.add(count.name, value, 0, 0)
	}
}

// caches are the kernel's, of objects that kvmrun and QEMU have made. They are
// the whole machine's, so that what else runs there shows in them: only what
// grows with the cycles counts.
var caches = []string{
	"task_struct", "pid", "files_cache", "mm_struct", "filp", "sock_inode_cache", "shmem_inode_cache",
	"kernfs_node_cache", "file_lock_cache", "fsnotify_mark_connector", "eventpoll_epi", "ip_fib_alias",
	"ip_dst_cache", "net_namespace", "mnt_cache",
}

// lookAtKernel counts the kernel's objects, where it tells.
func (g *growth) lookAtKernel(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile("/proc/slabinfo")
	if err != nil {
		t.Logf("kernel objects are not counted: %v", err)
		return
	}
	const page, perCycle = 64, 0.2 // objects that a cache keeps ready; a fifth of an object is not one
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) > 1 && slices.Contains(caches, words[0]) {
			value, err := strconv.ParseFloat(words[1], 64)
			if err != nil {
				t.Fatal(err)
			}
			g.add("kernel objects "+words[0]+", of the whole machine", value, page, perCycle)
		}
	}
}

// field is the number behind a name in a text such as proc_pid_status(5).
func field(text, name string) float64 {
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == name {
			value, _ := strconv.ParseFloat(words[1], 64)
			return value
		}
	}
	return 0
}

// ends are the first and the last third of the values; the very first, before
// anything was done, is left out.
func (s *series) ends() (first, last []float64) {
	warm := s.values[1:]
	n := max(1, len(warm)/3)
	return warm[:n], warm[len(warm)-n:]
}

// grows tells whether the least at the end is more than the most at the
// beginning, beyond what is tolerated.
func (s *series) grows(cycles int) bool {
	if s.perCycle > 0 && cycles < longSoak {
		return false
	}
	first, last := s.ends()
	return slices.Min(last) > slices.Max(first)+s.tolerance+s.perCycle*float64(cycles)
}

// grown are the series that grow.
func (g *growth) grown(cycles int) []*series {
	var found []*series
	for _, s := range g.series {
		if s.grows(cycles) {
			found = append(found, s)
		}
	}
	return found
}

// table is what was counted, in Markdown.
func (g *growth) table() string {
	var b strings.Builder
	b.WriteString("| Counted | First third | Last third | Grows |\n|---|---|---|---|\n")
	for _, s := range g.series {
		first, last := s.ends()
		verdict := "no"
		if s.grows(*cycles) {
			verdict = "**yes**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", s.name, spread(first), spread(last), verdict)
	}
	return b.String()
}

// spread is the least and the most of some values.
func spread(values []float64) string {
	least, most := slices.Min(values), slices.Max(values)
	if least == most {
		return fmt.Sprintf("%.0f", least)
	}
	return fmt.Sprintf("%.0f–%.0f", least, most)
}

func TestGrows(t *testing.T) {
	for _, test := range []struct {
		values   []float64
		perCycle float64
		want     bool
	}{
		{[]float64{0, 5, 5, 5, 5, 5, 5}, 0, false},
		{[]float64{0, 5, 5, 6, 6, 7, 7}, 0, true},
		{[]float64{0, 5, 9, 5, 9, 5, 9}, 0, false}, // it breathes
		{[]float64{0, 9, 9, 5, 5, 5, 5}, 0, false},
		{[]float64{0, 5, 5, 6, 6, 7, 7}, 0.2, false},
		{[]float64{0, 5, 5, 600, 600, 1007, 1007}, 0.2, true},
	} {
		s := series{perCycle: test.perCycle, values: test.values}
		if got := s.grows(longSoak); got != test.want {
			t.Errorf("%v: %v, want %v", test.values, got, test.want)
		}
	}
}
