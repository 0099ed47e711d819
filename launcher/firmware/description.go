package firmware

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// description is what is needed of one file (QEMU: docs/interop/firmware.json,
// Firmware).
type description struct {
	Interfaces []string `json:"interface-types"`
	Mapping    mapping  `json:"mapping"`
	Targets    []target `json:"targets"`
	Features   []string `json:"features"`
}

// mapping is how the firmware is put into the machine (FirmwareMapping).
type mapping struct {
	Device     string    `json:"device"`
	Mode       string    `json:"mode"` // split if it is left out
	Executable flashFile `json:"executable"`
	Template   flashFile `json:"nvram-template"`
}

type flashFile struct {
	Filename string `json:"filename"`
	Format   string `json:"format"`
}

func (f flashFile) file() File { return File{Path: f.Filename, Format: f.Format} }

type target struct {
	Architecture string   `json:"architecture"`
	Machines     []string `json:"machines"` // patterns of glob(7)
}

// maxDescription is how large a description may be, in bytes. They have some hundred.
const maxDescription = 1 << 20

// read reads a description. An empty one is one that fits nothing.
func read(path string) (d description, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return d, err
	}
	if info.Size() == 0 || !info.Mode().IsRegular() { // /dev/null hides, too
		return d, nil
	}
	if info.Size() > maxDescription {
		return d, fmt.Errorf("%s is too large", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return d, err
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return description{}, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

func (d description) has(feature string) bool { return slices.Contains(d.Features, feature) }

// fits tells whether a machine can have the firmware and it is what is wanted. The
// feature amd-sev does not matter: it says what the firmware could do, too. Firmware
// for encrypted guests alone lies in one flash memory or none.
func (d description) fits(want Want) bool {
	m := d.Mapping
	switch {
	case !slices.Contains(d.Interfaces, "uefi"), m.Device != "flash", m.Mode != "" && m.Mode != "split":
		return false
	case !m.Executable.usable(), !m.Template.usable():
		return false
	case want.Secure && (!d.has("secure-boot") || !d.has("enrolled-keys")):
		return false
	case !want.Secure && (d.has("secure-boot") || d.has("requires-smm")):
		return false
	}
	return slices.ContainsFunc(d.Targets, func(t target) bool { return t.fits(want.Machine) })
}

// usable tells files that QEMU can be handed by name and format.
func (f flashFile) usable() bool {
	return filepath.IsAbs(f.Filename) && (f.Format == "raw" || f.Format == "qcow2")
}

// boards are the machines' own names, without the version that follows.
var boards = map[string]string{"q35": "pc-q35", "pc": "pc-i440fx"}

// fits tells whether a target is a machine, whatever QEMU's version. A pattern that
// names single versions fits none.
func (t target) fits(machine string) bool {
	board, known := boards[machine]
	return known && t.Architecture == "x86_64" && slices.ContainsFunc(t.Machines, func(pattern string) bool {
		plain, err := path.Match(pattern, machine)
		versioned, err2 := path.Match(pattern, board+"-0.0")
		return err == nil && plain || err2 == nil && versioned
	})
}
