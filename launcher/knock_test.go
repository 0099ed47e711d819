package launcher

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// door is a guest's port in the time of a test.
type door struct {
	opens time.Duration // from then on it is listened to
	drops bool          // what comes before is dropped, not refused
	says  string        // what each connection is told
	after time.Duration // that long after it was accepted
	began time.Time

	mu       sync.Mutex // of what follows
	hangsUp  int        // on so many connections first
	inside   int        // how many are connected
	together int        // how many were, at most
}

func (d *door) dial(ctx context.Context) (net.Conn, error) {
	if time.Since(d.began) < d.opens {
		if d.drops {
			<-ctx.Done() // nobody repeats what was dropped
			return nil, ctx.Err()
		}
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	ours, theirs := net.Pipe()
	hangsUp := d.enter()
	go func() {
		time.Sleep(d.after)
		if !hangsUp {
			_, _ = io.WriteString(theirs, d.says)
			_, _ = io.Copy(io.Discard, theirs)
		}
		_ = theirs.Close()
		d.leave()
	}()
	return ours, nil
}

// enter counts a connection, and tells whether it is one to hang up on.
func (d *door) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inside++
	d.together = max(d.together, d.inside)
	d.hangsUp--
	return d.hangsUp >= 0
}

func (d *door) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inside--
}

// promptly is how soon after the fact a wait must be over.
const promptly = 100 * time.Millisecond

// TestKnockIsPrompt opens doors at many times, in a time of its own: however a guest
// treats what comes too early, the open door is found soon after.
func TestKnockIsPrompt(t *testing.T) {
	const minute = time.Minute
	for name, d := range map[string]*door{
		"open":             {},
		"refuses":          {opens: 3*time.Second + 21*time.Millisecond},
		"refuses for long": {opens: 50*minute + time.Millisecond},
		"drops":            {opens: 3*time.Second + 21*time.Millisecond, drops: true},
		"drops for long":   {opens: 50*minute + time.Millisecond, drops: true},
		"greets":           {opens: time.Second, drops: true, says: "SSH-2.0-x\r\n"},
		"greets late":      {opens: time.Second, drops: true, says: "SSH-2.0-x\r\n", after: 5 * time.Second},
		"says more first":  {says: "This is a host.\r\nBe good.\r\nSSH-2.0-x\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d.began = time.Now()
				greeting := ""
				if d.says != "" {
					greeting = sshGreeting
				}
				if err := knock(t.Context(), d.dial, greeting); err != nil {
					t.Fatal(err)
				}
				if late := time.Since(d.began) - d.opens - d.after; late > promptly {
					t.Errorf("%v too late", late)
				}
				if greeting != "" && d.together > 1 {
					t.Errorf("%d connections at once, where one waits for the greeting", d.together)
				}
			})
		})
	}
}

// A server that hangs up before it greets, as one that is just starting does, is
// asked again.
func TestKnockAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &door{began: time.Now(), says: "SSH-2.0-x\r\n", hangsUp: 3}
		if err := knock(t.Context(), d.dial, sshGreeting); err != nil || d.hangsUp != -1 {
			t.Errorf("%v, %d connections too many", err, d.hangsUp)
		}
	})
}

// When the time is over, why is known.
func TestKnockInVain(t *testing.T) {
	for want, d := range map[string]*door{
		"connection refused": {opens: time.Hour},
		"no answer":          {opens: time.Hour, drops: true},
		"it does not greet":  {says: "220 mail ESMTP\r\n" + strings.Repeat("x", maxGreeting)},
	} {
		synctest.Test(t, func(t *testing.T) {
			d.began = time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := knock(ctx, d.dial, sshGreeting); err == nil || err.Error() != want {
				t.Errorf("%v, want %q", err, want)
			}
			if time.Since(d.began) != time.Minute {
				t.Errorf("it takes %v", time.Since(d.began))
			}
		})
	}
	if err := plainly(errors.New("x")); err.Error() != "x" {
		t.Error(err)
	}
}
