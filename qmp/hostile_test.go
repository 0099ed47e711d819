package qmp_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"kvmrun/qmp"
)

func TestBytesAfterHandshakeAreKept(t *testing.T) {
	socket := listen(t, func(p *peer) {
		p.send(greeting + welcome + `{"event": "EARLY", "data": {"n": 1}}` + "\r\n" + `{"event": "HALF`)
		p.receive()
		r := p.receive()
		p.send(`", "data": {"n": 2}}` + "\r\n")
		p.answer(r, `{}`)
		p.discard()
	})
	c, err := qmp.Dial(within(t, patience), socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if v := c.Version(); v.String() != "7.2.3" || v.Package != "test" {
		t.Errorf("version %+v", v)
	}
	if err := c.Execute(within(t, patience), "query-status", nil, nil); err != nil {
		t.Fatal(err)
	}
	sub := c.Subscribe(8)
	for _, want := range []string{"EARLY", "HALF"} {
		if ev := <-sub.C; ev.Event != want {
			t.Errorf("event %+v, want %s", ev, want)
		}
	}
}

func TestEverythingInSingleBytes(t *testing.T) {
	dribble := func(p *peer, text string) {
		for i := range len(text) {
			p.send(text[i : i+1])
		}
	}
	socket := listen(t, func(p *peer) {
		dribble(p, greeting)
		p.receive()
		dribble(p, welcome)
		r := p.receive()
		dribble(p, `{"return": "whole", "id": `+string(r.ID)+"}\n")
		p.discard()
	})
	c, err := qmp.Dial(within(t, patience), socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var got string
	if err := c.Execute(within(t, patience), "anything", nil, &got); err != nil || got != "whole" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestNoGreeting(t *testing.T) {
	for name, tc := range map[string]struct {
		says string
		want error
	}{
		"human monitor":      {"QEMU 7.2.3 monitor - type 'help' for more information\r\n(qemu) ", qmp.ErrNotQMP},
		"other JSON":         {`{"return": {}}` + "\n", qmp.ErrNotQMP},
		"array":              {"[]\n", qmp.ErrNotQMP},
		"null":               {"null\n", qmp.ErrNotQMP},
		"null greeting":      {`{"QMP": null}` + "\n", qmp.ErrNotQMP},
		"number as greeting": {`{"QMP": 3}` + "\n", qmp.ErrNotQMP},
		"NUL bytes":          {"\x00\x00\x00\n", qmp.ErrNotQMP},
		"deep nesting":       {strings.Repeat("[", 20000) + "\n", qmp.ErrNotQMP},
		"endless":            {strings.Repeat("x", 1<<20), qmp.ErrNotQMP},
		"nothing":            {"", qmp.ErrHangup},
		"half":               {greeting[:20], qmp.ErrHangup},
		"refusal": {greeting + `{"error": {"class": "GenericError", "desc": "no"}}` + "\n",
			&qmp.CommandError{Command: "qmp_capabilities", Class: qmp.ClassGenericError, Description: "no"}},
		"greeting only":  {greeting, qmp.ErrHangup},
		"garbage after":  {greeting + "garbage\n", qmp.ErrProtocol},
		"nameless event": {greeting + `{"event": 7}` + "\n", qmp.ErrProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			socket := listen(t, func(p *peer) { p.send(tc.says); p.receive() })
			_, err := qmp.Dial(within(t, patience), socket)
			var refusal *qmp.CommandError
			if errors.As(tc.want, &refusal) {
				var got *qmp.CommandError
				if !errors.As(err, &got) || *got != *refusal {
					t.Errorf("got %v, want %v", err, refusal)
				}
				return
			}
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

func TestGreetingThatNeverComes(t *testing.T) {
	t.Parallel() // most of it is waiting
	for name, tc := range map[string]struct {
		says string
		busy bool
	}{
		"silence": {"", true},
		"half":    {greeting[:10], false},
		"whole":   {greeting, false}, // but no reply to qmp_capabilities
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			socket := listen(t, func(p *peer) { p.send(tc.says); p.discard() })
			_, err := qmp.Dial(within(t, 300*time.Millisecond), socket)
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, qmp.ErrBusy) != tc.busy {
				t.Errorf("%v; want the deadline, and busy %v", err, tc.busy)
			}
		})
	}
}

func TestDialCancelledWithCause(t *testing.T) {
	connected := make(chan struct{})
	socket := listen(t, func(p *peer) { close(connected); p.discard() })
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("QEMU exited with status 1")
	go func() { <-connected; cancel(cause) }()
	_, err := qmp.Dial(ctx, socket)
	if !errors.Is(err, cause) || !errors.Is(err, context.Canceled) || errors.Is(err, qmp.ErrBusy) {
		t.Errorf("%v; want the cause, and not that the monitor is busy", err)
	}
}

func TestBrokenProtocolEndsConnection(t *testing.T) {
	for name, says := range map[string]string{
		"garbage":           "garbage\n",
		"array":             "[1]\n",
		"NUL bytes":         "{\x00}\n",
		"two in one line":   `{} {}` + "\n",
		"event of a number": `{"event": 3}` + "\n",
		"data of a string":  `{"event": "X", "data": "text"}` + "\n",
		"time of a string":  `{"event": "X", "timestamp": "now"}` + "\n",
		"error of a string": `{"error": "no", "id": 1}` + "\n",
		"deep nesting":      `{"return": ` + strings.Repeat(`[`, 1<<20) + "\n",
		"endless line":      strings.Repeat("x", qmp.MaxMessage+100),
	} {
		t.Run(name, func(t *testing.T) {
			c := dialPeer(t, func(p *peer) {
				p.receive()
				p.send(says)
				p.discard()
			})
			sub := c.Subscribe(1)
			err := c.Execute(within(t, patience), "query-status", nil, nil)
			if !errors.Is(err, qmp.ErrProtocol) {
				t.Errorf("call: %v", err)
			}
			if len(err.Error()) > 500 {
				t.Errorf("error has %d bytes: %.200s…", len(err.Error()), err)
			}
			await(t, c.Done(), "the end of the connection")
			if !errors.Is(c.Err(), qmp.ErrProtocol) {
				t.Errorf("reason: %v", c.Err())
			}
			if _, open := <-sub.C; open {
				t.Error("an event came")
			}
		})
	}
}

func TestStrangeMessagesAreIgnored(t *testing.T) {
	for name, says := range map[string]string{
		"blank lines":     "\r\n\n \n",
		"empty object":    "{}\n",
		"nameless event":  `{"event": "", "data": {}}` + "\n",
		"second greeting": greeting,
		"unknown member":  `{"news": [1, 2], "id": 1}` + "\n",
		"unknown id":      `{"return": "wrong", "id": 77}` + "\n",
		"id zero":         `{"return": "wrong", "id": 0}` + "\n",
		"negative id":     `{"return": "wrong", "id": -1}` + "\n",
		"id a string":     `{"return": "wrong", "id": "1"}` + "\n",
		"id an object":    `{"return": "wrong", "id": {"1": 1}}` + "\n",
		"huge id":         `{"return": "wrong", "id": 99999999999999999999999999}` + "\n",
		"reply to nobody": `{"return": "wrong"}` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := dialPeer(t, func(p *peer) {
				r := p.receive()
				p.send(says)
				p.answer(r, `"right"`)
				p.discard()
			})
			var got string
			if err := c.Execute(within(t, patience), "anything", nil, &got); err != nil || got != "right" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestEndInTheMiddleOfAReply(t *testing.T) {
	c := dialPeer(t, func(p *peer) {
		p.receive()
		p.send(`{"return": {"sta`)
	})
	err := c.Execute(within(t, patience), "query-status", nil, nil)
	if !errors.Is(err, qmp.ErrHangup) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v; want a hangup, and that a message was cut", err)
	}
	await(t, c.Done(), "the end of the connection")
	if !errors.Is(c.Err(), qmp.ErrHangup) {
		t.Errorf("reason %v", c.Err())
	}
}

func TestPeerDiesWithCommandsUnread(t *testing.T) {
	c := dialPeer(t, func(p *peer) { p.peek() }) // the kernel reports a reset
	err := c.Execute(within(t, patience), "anything", nil, nil)
	if !errors.Is(err, qmp.ErrHangup) {
		t.Errorf("call: %v", err)
	}
	await(t, c.Done(), "the end of the connection")
	if !errors.Is(c.Err(), qmp.ErrHangup) {
		t.Errorf("reason %v", c.Err())
	}
}
