package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// leaderless is a program whose first thread ends, and which goes on.
const leaderless = `
#include <pthread.h>
#include <unistd.h>
static void *stay(void *unused) { pause(); return unused; }
int main(void) {
	pthread_t other;
	if (pthread_create(&other, 0, stay, 0))
		return 1;
	pthread_exit(0);
}
`

// TestProcessWithoutItsFirstThread: it is there as long as any of its threads, though it
// looks like a zombie.
func TestProcessWithoutItsFirstThread(t *testing.T) {
	program := filepath.Join(t.TempDir(), "leaderless")
	source := program + ".c"
	if err := os.WriteFile(source, []byte(leaderless), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-o", program, source, "-lpthread").CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	cmd := exec.Command(program)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := Find(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/proc/%d/stat", id.PID)
	for deadline := time.Now().Add(10 * time.Second); ; {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := parseStat(text)
		if err != nil {
			t.Fatal(err)
		}
		if s.state == 'Z' {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("its first thread does not end: %s", text)
		}
	}
	if !id.Alive() {
		t.Error("it is taken for gone while another of its threads is there")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if id.Alive() {
		t.Error("it is taken for alive after its end")
	}
}
