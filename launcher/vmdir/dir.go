package vmdir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/google/renameio/v2"
	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// The files of a VM's folder.
const (
	SpecFile      = "spec.json"       // what was asked for, completed
	StateFile     = "state.json"      // what is
	KnownHosts    = "known_hosts"     // the guest's SSH host key, for ssh
	EventsFile    = "events.jsonl"    // what happened, one JSON object a line
	ConsoleLog    = "console.log"     // all that the serial port said
	QEMULog       = "qemu.log"        // QEMU's standard output and error
	SupervisorLog = "supervisor.log"  // the supervisor's own
	DnsmasqLog    = "dnsmasq.log"     // a real dnsmasq's, if one serves the VM
	TPMLog        = "swtpm.log"       // an emulated TPM's, if the VM has one
	ShareLog      = "virtiofsd.log"   // of those who serve shared folders
	ConsoleSocket = "console.sock"    // the serial port
	MonitorSocket = "qmp.sock"        // QMP for the user and the commands
	ScreenSocket  = "vnc.sock"        // the screen, if there is one
	OwnSocket     = "supervisor.sock" // QMP for the supervisor alone
	AgentFolder   = "agent"           // the pipes to the guest agent's port
	lockFile      = "lock"
	stopFile      = "stop-asked"
)

// Dir is the folder of one VM. Only root may look inside: who can write to the
// monitor's socket owns the guest.
type Dir struct{ Name, Path string }

// Hold is the folder that has the VM's name now, by a path that leads to it until
// release is called, whichever has the name then. It fails with fs.ErrNotExist if
// there is none. What is written to a folder that has been removed is lost.
func (d Dir) Hold() (held Dir, release func(), err error) {
	f, err := os.OpenFile(d.Path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return Dir{}, nil, err
	}
	path := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	return Dir{Name: d.Name, Path: path}, func() { _ = f.Close() }, nil
}

// File is the path of one of the folder's files.
func (d Dir) File(name string) string { return filepath.Join(d.Path, name) }

// Exists reports whether the VM has a folder.
func (d Dir) Exists() bool {
	info, err := os.Lstat(d.Path)
	return err == nil && info.IsDir()
}

// Remove deletes the folder and all that is in it. Its name is free at once, and
// nobody sees half a folder. Only who holds the VM's lock may call it: then the
// name cannot have become another VM's. A folder that is gone is no error.
func (d Dir) Remove() error {
	last := filepath.Join(filepath.Dir(d.Path), oldPrefix+uuid.NewString())
	err := os.Rename(d.Path, last)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for range lateWriters {
		if err = os.RemoveAll(last); !errors.Is(err, unix.ENOTEMPTY) {
			break
		}
	}
	return err
}

// lateWriters is how many may write to a folder by Hold while it is being removed.
const lateWriters = 10

// Write replaces one of the folder's files with v as JSON, atomically: a
// reader sees the old text or the new one.
func (d Dir) Write(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	// This forces the text to the disk, which costs nothing where the run
	// directory is in memory, as it should be.
	return renameio.WriteFile(d.File(name), append(text, '\n'), 0o600,
		renameio.WithTempDir(d.Path), renameio.WithExistingPermissions())
}

// Read parses one of the folder's files into v. It fails with fs.ErrNotExist
// if the folder or the file is not there, and with a DamagedError if it is not
// what kvmrun writes.
func (d Dir) Read(name string, v any) error {
	text, err := os.ReadFile(d.File(name))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return &DamagedError{File: d.File(name), Err: err}
	}
	return nil
}

// DamagedError says that a file is not what kvmrun writes there.
type DamagedError struct {
	File string
	Err  error // what is wrong with it
}

func (e *DamagedError) Error() string { return Printable(e.File) + " is damaged" }

// Unwrap returns what is wrong with it.
func (e *DamagedError) Unwrap() error { return e.Err }

// Printable is a path for messages: quoted if it holds what would break the line,
// as a folder's name may that somebody else has made.
func Printable(path string) string {
	if quoted := strconv.Quote(path); quoted != `"`+path+`"` {
		return quoted
	}
	return path
}

// AskStop marks that the VM's end, however QEMU comes to it, was wanted. A
// reason makes a failure of it, whose record stays.
func (d Dir) AskStop(reason string) error {
	return renameio.WriteFile(d.File(stopFile), []byte(reason), 0o600, renameio.WithTempDir(d.Path))
}

// StopAsked reports whether AskStop was called, and with which reason.
func (d Dir) StopAsked() (reason string, asked bool) {
	text, err := os.ReadFile(d.File(stopFile))
	return string(text), err == nil
}

// WithdrawStop takes AskStop back: the VM goes on.
func (d Dir) WithdrawStop() error {
	err := os.Remove(d.File(stopFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
