package launcher

import (
	"testing"

	"github.com/google/uuid"
)

// A stop that was overtaken asks nothing of the VM that has the name by now, and
// takes nothing back that others asked of it.
func TestMarkIsNotAnothers(t *testing.T) {
	_, dir := folder(t)
	s, st := recorded(t)
	putRecord(t, dir, asJSON(t, s), asJSON(t, st))
	o := StopOptions{Note: func(note string) { t.Error(note) }}
	o.mark(dir, uuid.NewString(), "too slow")
	if _, asked := dir.StopAsked(); asked {
		t.Error("another VM is marked")
	}
	o.mark(dir, s.UUID, "too slow")
	if reason, asked := dir.StopAsked(); !asked || reason != "too slow" {
		t.Errorf("its own is not: %q, %v", reason, asked)
	}
	if err := unmark(dir, uuid.NewString()); err != nil {
		t.Error(err)
	}
	if _, asked := dir.StopAsked(); !asked {
		t.Error("another VM's mark is taken back")
	}
	if err := unmark(dir, s.UUID); err != nil {
		t.Error(err)
	}
	if _, asked := dir.StopAsked(); asked {
		t.Error("its own mark is not taken back")
	}
}
