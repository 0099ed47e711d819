// Package identity gives guests, and whoever logs into them, keys that are known
// before the guest boots. All of them follow from one secret of this host's: a VM of
// the same name has the same SSH host key each time, so that nobody who has seen it
// once need trust another.
package identity

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	secretFile = "identity"
	// secretForm begins the file, before the secret in hexadecimal digits.
	secretForm = "kvmrun-identity-1 "
	secretSize = 32 // bytes
)

// Identity is this host's secret. Who has it can pose as any of its VMs.
type Identity struct{ secret []byte }

// Open reads the secret of a data directory, and makes it if there is none. Any
// number of processes may do so at once. The directory must exist.
func Open(dir string) (Identity, error) {
	id, err := Read(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	if err := create(dir, secretForm+hex.EncodeToString(New().secret)+"\n"); err != nil && !errors.Is(err, fs.ErrExist) {
		return Identity{}, fmt.Errorf("make this host's secret for keys: %w", err)
	}
	return Read(dir) // another process's, if that was quicker
}

// New is a secret that is written nowhere.
func New() Identity {
	secret := make([]byte, secretSize)
	_, _ = rand.Read(secret) // never fails (crypto/rand)
	return Identity{secret}
}

// Read is Open for those who change nothing. It fails with fs.ErrNotExist if there is
// no secret yet.
func Read(dir string) (Identity, error) {
	path := filepath.Join(dir, secretFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return Identity{}, err
	}
	digits, ok := strings.CutPrefix(strings.TrimSuffix(string(text), "\n"), secretForm)
	secret, err := hex.DecodeString(digits)
	if !ok || err != nil || len(secret) != secretSize {
		return Identity{}, fmt.Errorf("%s is not what kvmrun has written there; restore it, or move it away: VMs get other keys then", path)
	}
	return Identity{secret}, nil
}

// create makes the file of mode 0600, whole or not at all. It fails with fs.ErrExist
// if there is one. Until it has its name it has none, where the file system can
// (O_TMPFILE, open(2)): a kill in between leaves no copy of the secret.
func create(dir, text string) error {
	f, err := unnamed(dir)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	defer func() { _ = f.Close() }()
	if _, err := f.WriteString(text); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	magic, path := fmt.Sprintf("/proc/self/fd/%d", f.Fd()), filepath.Join(dir, secretFile)
	if err := unix.Linkat(unix.AT_FDCWD, magic, unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW); err != nil {
		return &os.LinkError{Op: "link", Old: f.Name(), New: path, Err: err}
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// unnamed makes a file without a name, or with a passing one where the file system can
// do no better.
func unnamed(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) {
		return os.CreateTemp(dir, "."+secretFile+"-*") // of mode 0600
	}
	if err != nil {
		return nil, &os.PathError{Op: "create", Path: dir, Err: err}
	}
	return os.NewFile(uintptr(fd), ""), nil
}

// seed is 32 bytes for one purpose, from which nobody learns the secret or those for
// another (HKDF, RFC 5869; its first step is not needed for a secret that is random).
func (i Identity) seed(purpose, name string) []byte {
	seed, err := hkdf.Expand(sha256.New, i.secret, "kvmrun "+purpose+"\x00"+name, secretSize)
	if err != nil {
		panic(err) // only for lengths above 8,160 bytes
	}
	return seed
}
