package launcher

import (
	"slices"
	"testing"
)

func TestMoves(t *testing.T) {
	phases := []Phase{"", Starting, Running, Paused, Stopping, Failed, Dead}
	legal := map[Phase][]Phase{
		"":       {Starting},
		Starting: {Running, Paused, Stopping, Failed},
		Running:  {Paused, Stopping, Failed},
		Paused:   {Running, Stopping, Failed},
		Stopping: {Failed},
	}
	for _, from := range phases {
		for _, to := range phases {
			s := State{Phase: from}
			err := s.Move(to)
			switch {
			case slices.Contains(legal[from], to):
				if err != nil || s.Phase != to {
					t.Errorf("%q to %q: %v, is %q", from, to, err, s.Phase)
				}
			case err == nil || s.Phase != from:
				t.Errorf("%q to %q: %v, is %q; want an error and no change", from, to, err, s.Phase)
			}
		}
	}
}
