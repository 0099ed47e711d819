package process

import (
	"bufio"
	"errors"
	"os/exec"
	"testing"
)

const rollup = `00400000-7ffd12345000 ---p 00000000 00:00 0                              [rollup]
Rss:              104312 kB
Pss:               90112 kB
Pss_Dirty:         80000 kB
Shared_Clean:      14000 kB
Shared_Dirty:          0 kB
Private_Clean:       312 kB
Private_Dirty:     90000 kB
Referenced:       104312 kB
Private_Hugetlb:       8 kB
Swap:                 20 kB
SwapPss:              10 kB
Locked:                0 kB
`

func TestParseMemory(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want Memory
		bad  bool
	}{
		"all":       {text: rollup, want: Memory{PSS: 90112 << 10, Private: 90320 << 10, Swapped: 10 << 10}},
		"no swap":   {text: "Pss: 4 kB\nPrivate_Clean: 1 kB\n", want: Memory{PSS: 4096, Private: 1024}},
		"ended":     {text: "", bad: true},
		"no number": {text: "Pss: many kB\n", bad: true},
		"overflow":  {text: "Pss: 18014398509481984 kB\n", bad: true},
	} {
		got, err := parseMemory([]byte(c.text))
		if (err != nil) != c.bad || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
	}
}

// TestUsage has a process take memory and compute: both are seen, until it ends.
func TestUsage(t *testing.T) {
	cmd := exec.Command("sh", "-c", `x=$(head -c 8000000 /dev/zero | tr '\0' x); i=0
while [ $i -lt 200000 ]; do i=$((i+1)); done; echo done; exec 1>&-; read -r line; echo "${#x}" >/dev/null`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	id, err := Find(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "done\n" {
		t.Fatalf("it says %q: %v", line, err)
	}
	u, err := id.Usage()
	if err != nil {
		t.Fatal(err)
	}
	if u.CPU == 0 || u.Memory == nil || u.Memory.PSS < 8_000_000 || u.Memory.Private < 8_000_000 || u.Memory.PSS < u.Memory.Private {
		t.Errorf("it uses %+v, memory %+v", u, u.Memory)
	}
	if _, err := (ID{PID: id.PID, Start: id.Start + 1}).Usage(); !errors.Is(err, ErrGone) {
		t.Errorf("of a process that had its PID before: %v", err)
	}
	_ = in.Close()
	_ = cmd.Process.Kill()
	h, err := Open(id)
	if err == nil {
		err = h.Wait(t.Context())
		_ = h.Close()
	}
	if err != nil && !errors.Is(err, ErrGone) {
		t.Fatal(err)
	}
	if _, err := id.Usage(); !errors.Is(err, ErrGone) {
		t.Errorf("of a zombie: %v", err)
	}
}
