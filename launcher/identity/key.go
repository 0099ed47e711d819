package identity

import (
	"crypto/ed25519"
	"encoding/pem"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Key is a pair of SSH keys of type ed25519 (RFC 8709).
type Key struct {
	// Private is in OpenSSH's own form (PROTOCOL.key in OpenSSH's sources), with no
	// passphrase.
	Private string
	// Public is one line as in authorized_keys (sshd(8)): type, key, comment.
	Public string
}

// HostKey is the key by which the VM of a name is known to those who log in.
func (i Identity) HostKey(vm string) Key { return newKey(i.seed("ssh host key", vm), vm) }

// LoginKey is the key by which kvmrun logs into guests.
func (i Identity) LoginKey() Key { return newKey(i.seed("ssh login key", ""), "kvmrun") }

func newKey(seed []byte, comment string) Key {
	private := ed25519.NewKeyFromSeed(seed)
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		panic(err) // only for keys of other types
	}
	public, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		panic(err)
	}
	line := strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(public)), "\n")
	return Key{Private: string(pem.EncodeToMemory(block)), Public: line + " " + comment}
}
