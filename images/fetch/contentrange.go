package fetch

import (
	"strconv"
	"strings"
)

// span is what a Content-Range header says (RFC 9110, section 14.4): bytes
// from first to last of a file of total bytes. first is -1 where the server
// has no such range ("bytes */N"), total -1 where it does not know ("*").
type span struct{ first, last, total int64 }

// parseContentRange reads the header and refuses what contradicts itself.
func parseContentRange(header string) (span, bool) {
	unit, rest, ok := strings.Cut(strings.TrimSpace(header), " ")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return span{}, false
	}
	ends, total, ok := strings.Cut(strings.TrimSpace(rest), "/")
	if !ok {
		return span{}, false
	}
	s := span{first: -1, last: -1, total: -1}
	if total != "*" {
		if s.total, ok = number(total); !ok {
			return span{}, false
		}
	}
	if ends == "*" {
		return s, s.total >= 0
	}
	first, last, ok := strings.Cut(ends, "-")
	if !ok {
		return span{}, false
	}
	var ok1, ok2 bool
	s.first, ok1 = number(first)
	s.last, ok2 = number(last)
	return s, ok1 && ok2 && s.first <= s.last && (s.total < 0 || s.last < s.total)
}

// number reads decimal digits and nothing else.
func number(text string) (int64, bool) {
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}
