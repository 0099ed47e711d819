package fetch

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"strings"
)

// Digest is a checksum with its kind: "sha256:" or "sha512:" and hexadecimal
// digits in lower case.
type Digest string

// The kinds of Digest that are known.
const (
	sha256Kind = "sha256"
	sha512Kind = "sha512"
)

// ParseDigest reads what a person writes: sha256:HEX, sha512:HEX, or the digits
// alone, which their number tells apart. Failures are of kind ErrDigest.
func ParseDigest(text string) (Digest, error) {
	kind, digits, named := strings.Cut(text, ":")
	if !named {
		kind, digits = "", text
	}
	d, ok := newDigest(digits)
	if !ok || (named && !strings.EqualFold(kind, d.Kind())) {
		return "", &Error{Kind: ErrDigest, Detail: "the checksum " + show(shorten(text)) + " is none of SHA-256 or SHA-512",
			Advice: "write sha256: and 64 hexadecimal digits, or sha512: and 128"}
	}
	return d, nil
}

// newDigest makes one of its digits, whose number says of which kind it is.
func newDigest(digits string) (Digest, bool) {
	sum, err := hex.DecodeString(digits)
	if err != nil {
		return "", false
	}
	switch len(sum) {
	case sha256.Size:
		return digestOf(sha256Kind, sum), true
	case sha512.Size:
		return digestOf(sha512Kind, sum), true
	}
	return "", false
}

func digestOf(kind string, sum []byte) Digest { return Digest(kind + ":" + hex.EncodeToString(sum)) }

// Kind is "sha256" or "sha512"; empty for an empty Digest.
func (d Digest) Kind() string {
	kind, _, _ := strings.Cut(string(d), ":")
	return kind
}

// Hex is the digits alone.
func (d Digest) Hex() string {
	_, digits, _ := strings.Cut(string(d), ":")
	return digits
}

// tally computes the digests of all that is written to it: sha256, and sha512
// if that is wanted.
type tally struct{ sha256, sha512 hash.Hash }

func newTally(want Digest) *tally {
	t := &tally{sha256: sha256.New()}
	if want.Kind() == sha512Kind {
		t.sha512 = sha512.New()
	}
	return t
}

// Write never fails.
func (t *tally) Write(p []byte) (int, error) {
	_, _ = t.sha256.Write(p)
	if t.sha512 != nil {
		_, _ = t.sha512.Write(p)
	}
	return len(p), nil
}

// result is the sha256.
func (t *tally) result() Digest { return digestOf(sha256Kind, t.sha256.Sum(nil)) }

// source is the digest of the kind that was wanted.
func (t *tally) source() Digest {
	if t.sha512 != nil {
		return digestOf(sha512Kind, t.sha512.Sum(nil))
	}
	return t.result()
}
