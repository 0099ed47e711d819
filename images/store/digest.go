package store

import (
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// Digest is the SHA-256 of a file, written sha256:HEX with 64 small digits.
type Digest string

const digestPrefix = "sha256:"

// ParseDigest reads sha256:HEX.
func ParseDigest(text string) (Digest, error) {
	digits, ok := strings.CutPrefix(text, digestPrefix)
	bytes, err := hex.DecodeString(digits)
	if !ok || err != nil || len(bytes) != 32 || strings.ToLower(digits) != digits {
		return "", fmt.Errorf("%.80q is no digest like sha256:e3b0c442…", text)
	}
	return Digest(text), nil
}

// digestOf is what a SHA-256 has come to.
func digestOf(h hash.Hash) Digest { return Digest(digestPrefix + hex.EncodeToString(h.Sum(nil))) }

// hex are the digits alone.
func (d Digest) hex() string { return strings.TrimPrefix(string(d), digestPrefix) }

// Short is enough of it for people to tell images apart: 12 digits.
func (d Digest) Short() string {
	digits := d.hex()
	return digits[:min(len(digits), 12)]
}
