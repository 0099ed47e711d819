package qmp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"kvmrun/qmp"
)

func TestAbandonedCall(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	c := dialPeer(t, func(p *peer) {
		first := p.receive()
		cancel()
		second := p.receive()
		p.answer(first, `"late"`)
		p.answer(second, `"in time"`)
		p.discard()
	})
	if err := c.Execute(ctx, "slow", nil, nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("a call nobody answers: %v", err)
	}
	var got string
	if err := c.Execute(within(t, patience), "next", nil, &got); err != nil || got != "in time" {
		t.Errorf("next call: %q, %v", got, err)
	}
	if n := c.Unanswered(); n != 0 {
		t.Errorf("%d calls are still remembered", n)
	}
}

func TestCallNobodyAnswersEndsWithItsDeadline(t *testing.T) {
	c := dialPeer(t, func(p *peer) { p.discard() })
	err := c.Execute(within(t, 20*time.Millisecond), "slow", nil, nil)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the deadline", err)
	}
	if err := c.Err(); err != nil {
		t.Errorf("the connection ended with it: %v", err)
	}
}

func TestRepliesOutOfOrderAndTwice(t *testing.T) {
	const callers = 20
	c := dialPeer(t, func(p *peer) {
		var requests []request
		for range callers {
			requests = append(requests, p.receive())
		}
		for i := range requests {
			r := requests[callers-1-i]
			p.answer(r, string(r.Arguments))
			p.answer(r, `{"caller": -1}`)
		}
		p.discard()
	})
	type argument struct {
		Caller int `json:"caller"`
	}
	var group sync.WaitGroup
	for caller := range callers {
		group.Go(func() {
			var got argument
			if err := c.Execute(within(t, patience), "echo", argument{caller}, &got); err != nil || got.Caller != caller {
				t.Errorf("caller %d got %+v, %v", caller, got, err)
			}
		})
	}
	group.Wait()
}

// A reply is the caller's own: what comes after it must not show in it.
func TestRepliesShareNoMemory(t *testing.T) {
	c := dialPeer(t, func(p *peer) {
		for r := p.receive(); r.Execute != ""; r = p.receive() {
			p.answer(r, string(r.Arguments))
		}
	})
	ctx := within(t, patience)
	var replies [4]json.RawMessage
	for i := range replies {
		var err error
		if replies[i], err = c.ExecuteRaw(ctx, "echo", json.RawMessage(fmt.Sprintf(`{"n":%d}`, i))); err != nil {
			t.Fatal(err)
		}
	}
	for i, reply := range replies {
		if want := fmt.Sprintf(`{"n":%d}`, i); string(reply) != want {
			t.Errorf("reply %d became %s", i, reply)
		}
	}
}

func TestErrorWithoutIDGoesToTheOldest(t *testing.T) {
	received := make(chan struct{})
	c := dialPeer(t, func(p *peer) {
		p.receive()
		close(received)
		second := p.receive()
		p.send(`{"error": {"class": "GenericError", "desc": "JSON parse error"}}` + "\n")
		p.answer(second, `{}`)
		p.discard()
	})
	first := make(chan error, 1)
	go func() { first <- c.Execute(within(t, patience), "first", nil, nil) }()
	await(t, received, "the first command")
	if err := c.Execute(within(t, patience), "second", nil, nil); err != nil {
		t.Errorf("second: %v", err)
	}
	if err := <-first; !qmp.HasClass(err, qmp.ClassGenericError) {
		t.Errorf("first: %v", err)
	}
}

func TestCloseEndsCalls(t *testing.T) {
	received := make(chan struct{})
	c := dialPeer(t, func(p *peer) { p.receive(); close(received); p.discard() })
	called := make(chan error, 1)
	go func() { called <- c.Execute(context.Background(), "anything", nil, nil) }()
	<-received
	if err := c.Err(); err != nil {
		t.Errorf("a live connection has a reason to have ended: %v", err)
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-called; !errors.Is(err, qmp.ErrClosed) {
		t.Errorf("call under way: %v", err)
	}
	if !errors.Is(c.Err(), qmp.ErrClosed) {
		t.Errorf("reason %v", c.Err())
	}
	if err := c.Execute(within(t, patience), "anything", nil, nil); !errors.Is(err, qmp.ErrClosed) {
		t.Errorf("call after Close: %v", err)
	}
	if _, open := <-c.Subscribe(1).C; open {
		t.Error("an event came after Close")
	}
}

// A peer that does not read must hold up neither callers nor Close, and half a
// command in its socket is the end of the connection.
func TestPeerThatDoesNotRead(t *testing.T) {
	done := make(chan struct{})
	defer close(done)
	ctx, cancel := context.WithCancel(context.Background())
	c := dialPeer(t, func(p *peer) {
		p.peek()
		cancel()
		<-done
	})
	long := map[string]string{"padding": strings.Repeat("x", 8<<20)}
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			if err := c.Execute(ctx, "long", long, nil); !errors.Is(err, context.Canceled) {
				t.Errorf("command that does not fit the socket: %v", err)
			}
		})
	}
	group.Wait()
	await(t, c.Done(), "the end of the connection")
	if !errors.Is(c.Err(), context.Canceled) {
		t.Errorf("reason %v", c.Err())
	}
}

func TestTooManyUnanswered(t *testing.T) {
	received := make(chan struct{})
	c := dialPeer(t, func(p *peer) {
		for range qmp.MaxUnanswered {
			p.receive()
		}
		close(received)
		p.discard()
	})
	gone, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for range qmp.MaxUnanswered {
		group.Go(func() { _ = c.Execute(gone, "anything", nil, nil) })
	}
	await(t, received, "all commands")
	cancel()
	group.Wait()
	if err := c.Execute(within(t, patience), "one more", nil, nil); !errors.Is(err, qmp.ErrStalled) {
		t.Errorf("one more: %v", err)
	}
}

func TestEndedContextSendsNothing(t *testing.T) {
	c := dialPeer(t, func(p *peer) {
		if r := p.receive(); r.Execute != "second" {
			t.Errorf("received %s", r.Execute)
		} else {
			p.answer(r, `{}`)
		}
		p.discard()
	})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Execute(ctx, "first", nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("first: %v", err)
	}
	if err := c.Execute(within(t, patience), "second", nil, nil); err != nil {
		t.Errorf("second: %v", err)
	}
}

func TestArgumentsAsSent(t *testing.T) {
	c := dialPeer(t, func(p *peer) {
		for r := p.receive(); r.Execute != ""; r = p.receive() {
			seen, _ := json.Marshal(string(r.Arguments))
			p.answer(r, string(seen))
		}
	})
	ctx := within(t, patience)
	for _, tc := range []struct {
		args any
		want string
	}{
		{nil, ``},
		{(*struct{ A int })(nil), ``},
		{struct{}{}, `{}`},
		{map[string]string{"a": "line\nfeed"}, `{"a":"line\nfeed"}`},
		{json.RawMessage("{ \"a\" :\n 1 }"), `{"a":1}`},
	} {
		var got string
		if err := c.Execute(ctx, "echo", tc.args, &got); err != nil || got != tc.want {
			t.Errorf("Execute %v: sent %s, %v; want %s", tc.args, got, err, tc.want)
		}
		raw, ok := tc.args.(json.RawMessage)
		if !ok {
			continue
		}
		reply, err := c.ExecuteRaw(ctx, "echo", raw)
		if want := fmt.Sprintf("%q", tc.want); err != nil || string(reply) != want {
			t.Errorf("ExecuteRaw %s: sent %s, %v; want %s", raw, reply, err, want)
		}
	}
	if _, err := c.ExecuteRaw(ctx, "echo", json.RawMessage(`{"a":`)); err == nil {
		t.Error("half a JSON object was sent")
	}
	if err := c.Execute(ctx, "echo", make(chan int), nil); err == nil {
		t.Error("a channel was sent")
	}
	var wrong int
	if err := c.Execute(ctx, "echo", nil, &wrong); err == nil {
		t.Error("a string was decoded as a number")
	}
}
