package dns

import (
	"errors"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// headers are those of IPv4 and UDP, in bytes.
	headers = 20 + 8
	// smallestAnswer is what every client takes by UDP (RFC 1035, section 2.3.4).
	smallestAnswer = 512
	// largestAnswer is what is sent by UDP to those who take more: it passes
	// everywhere in one piece (RFC 9715 has 1400; DNS flag day 2020 has 1232).
	largestAnswer = 1232
	// longestQuery is how much of a question is read, in bytes.
	longestQuery = 4096
	headerLength = 12
)

// query is a guest's question.
type query struct {
	message  []byte // all of it
	header   dnsmessage.Header
	question dnsmessage.Question
	name     string // the question's, in lower case, without its last dot
	edns     bool
	room     int // bytes that the guest takes by UDP
}

// errNotQuery says that a message deserves no answer.
var errNotQuery = errors.New("no question to a name server")

// parse reads a question. What is no whole message with exactly one is an error.
func parse(message []byte) (query, error) {
	q := query{message: message, room: smallestAnswer}
	if len(message) > longestQuery {
		return q, errNotQuery
	}
	var p dnsmessage.Parser
	var err error
	if q.header, err = p.Start(message); err != nil || q.header.Response {
		return q, errNotQuery
	}
	if q.question, err = p.Question(); err != nil {
		return q, errNotQuery
	}
	if _, err := p.Question(); !errors.Is(err, dnsmessage.ErrSectionDone) {
		return q, errNotQuery
	}
	if p.SkipAllAnswers() != nil || p.SkipAllAuthorities() != nil {
		return q, errNotQuery
	}
	for {
		h, err := p.AdditionalHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			break
		}
		if err != nil || p.SkipAdditional() != nil {
			return q, errNotQuery
		}
		if h.Type == dnsmessage.TypeOPT { // its class is the size (RFC 6891, section 6.1.2)
			q.edns, q.room = true, min(max(int(h.Class), smallestAnswer), largestAnswer)
		}
	}
	q.name = lower(strings.TrimSuffix(q.question.Name.String(), "."))
	return q, nil
}

// lower changes ASCII alone, as RFC 4343 has it.
func lower(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, name)
}

// reply makes an answer to q with the given code and, unless record is nil, one
// record. It is from here and no hearsay, so it is authoritative.
func (q query) reply(code dnsmessage.RCode, record func(*dnsmessage.Builder) error) []byte {
	h := dnsmessage.Header{
		ID: q.header.ID, Response: true, OpCode: q.header.OpCode, Authoritative: record != nil || code == dnsmessage.RCodeNameError,
		RecursionDesired: q.header.RecursionDesired, RecursionAvailable: true, RCode: code,
	}
	b := dnsmessage.NewBuilder(make([]byte, 0, smallestAnswer), h)
	b.EnableCompression()
	err := errors.Join(b.StartQuestions(), b.Question(q.question), b.StartAnswers())
	if err == nil && record != nil {
		err = record(&b)
	}
	if err == nil && q.edns {
		var opt dnsmessage.ResourceHeader
		err = errors.Join(b.StartAdditionals(), opt.SetEDNS0(largestAnswer, dnsmessage.RCodeSuccess, false),
			b.OPTResource(opt, dnsmessage.OPTResource{}))
	}
	message, failed := b.Finish()
	if err != nil || failed != nil {
		return nil // a name that cannot be written again cannot have been read
	}
	return message
}

// cut makes an answer of another server's fit: the guest that is told that
// something is missing asks again by TCP.
func (q query) cut(answer []byte, room int) []byte {
	if len(answer) <= room {
		return answer
	}
	var p dnsmessage.Parser
	h, err := p.Start(answer)
	if err != nil {
		return nil
	}
	h.Truncated = true
	b := dnsmessage.NewBuilder(make([]byte, 0, smallestAnswer), h)
	if b.StartQuestions() != nil || b.Question(q.question) != nil {
		return nil
	}
	short, err := b.Finish()
	if err != nil {
		return nil
	}
	return short
}

// answers tells whether a message is the answer to a question that was sent with
// the given ID.
func (q query) answers(message []byte, id uint16) bool {
	var p dnsmessage.Parser
	h, err := p.Start(message)
	if err != nil || !h.Response || h.ID != id || h.OpCode != q.header.OpCode {
		return false
	}
	asked, err := p.Question()
	if err != nil {
		// Some servers say no more than that they could not read it.
		return errors.Is(err, dnsmessage.ErrSectionDone) && h.RCode != dnsmessage.RCodeSuccess
	}
	return asked.Type == q.question.Type && asked.Class == q.question.Class &&
		lower(asked.Name.String()) == lower(q.question.Name.String())
}
