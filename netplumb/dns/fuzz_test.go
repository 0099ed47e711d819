package dns

import (
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// FuzzQuery reads what a guest sends. Whatever is answered from here must be one
// answer to that question, and must fit.
func FuzzQuery(f *testing.F) {
	for _, name := range []string{"web.", "WEB.kvmrun.internal.", "kvmrun.internal.", "mail.kvmrun.internal.", "example.org.", "3.254.254.10.in-addr.arpa.", "."} {
		for _, kind := range []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypePTR, dnsmessage.TypeALL} {
			f.Add(question(f, name, kind, 0), uint16(576))
			f.Add(question(f, name, kind, 4096), uint16(1500))
		}
	}
	loop := question(f, "web.", dnsmessage.TypeA, 0)
	copy(loop[headerLength:], "\xc0\x0c")
	f.Add(loop, uint16(1500)) // a name that points to itself
	f.Fuzz(func(t *testing.T, message []byte, mtu uint16) {
		q, err := parse(message)
		if err != nil {
			return
		}
		if q.room < smallestAnswer || q.room > largestAnswer {
			t.Fatalf("the guest takes %d bytes", q.room)
		}
		answer, ok := judge(q, names)
		if !ok {
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(answer); err != nil {
			t.Fatalf("the answer to %x cannot be read: %v\n%x", message, err, answer)
		}
		if m.ID != q.header.ID || !m.Response || len(m.Questions) != 1 || m.Questions[0] != q.question || len(m.Answers) > 1 {
			t.Errorf("the answer to %x is %+v", message, m)
		}
		if short := q.cut(answer, int(mtu)); len(answer) <= int(mtu) && len(short) != len(answer) {
			t.Errorf("%d bytes were cut to %d, for %d", len(answer), len(short), mtu)
		}
	})
}

// FuzzAnswer reads what a server of the world's sends, or whoever says that he is one.
// What is taken for an answer must be one to the question, and be cut to what the
// guest takes.
func FuzzAnswer(f *testing.F) {
	for _, kind := range []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeTXT, dnsmessage.TypeMX} {
		asked := question(f, "example.org.", kind, 0)
		f.Add(asked, theirs(asked), uint16(4711))
		f.Add(question(f, "example.com.", kind, 1232), theirs(asked), uint16(4711))
	}
	f.Fuzz(func(t *testing.T, asked, message []byte, id uint16) {
		q, err := parse(asked)
		if err != nil || !q.answers(message, id) {
			return
		}
		if len(message) < headerLength || message[2]&0x80 == 0 || uint16(message[0])<<8|uint16(message[1]) != id {
			t.Errorf("taken for an answer: %x", message)
		}
		_ = isFailure(message)
		short := q.cut(message, q.room)
		if len(short) > q.room {
			t.Errorf("%d bytes for a guest that takes %d", len(short), q.room)
		}
		var p dnsmessage.Parser
		if h, err := p.Start(short); len(short) > 0 && (err != nil || len(message) > q.room && !h.Truncated) {
			t.Errorf("cut to %x: %v", short, err)
		}
	})
}
