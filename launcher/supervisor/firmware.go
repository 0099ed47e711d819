package supervisor

import (
	"os"

	"kvmrun/launcher"
	"kvmrun/launcher/qemu"
)

// openFirmware opens a UEFI firmware and its variables. Those that nobody keeps are a
// copy in memory.
func (s *supervisor) openFirmware(config *qemu.Config, h *handover) error {
	u := s.spec.UEFI
	if u == nil {
		return nil
	}
	code, err := os.Open(u.Code.Path)
	if err != nil {
		return err
	}
	kept := *u
	if kept.Variables == "" {
		kept.Variables = s.spec.KeptVariables(s.data)
	}
	variables, err := openVariables(&kept)
	if err != nil {
		_ = code.Close()
		return err
	}
	config.UEFI = &qemu.UEFI{
		Code:      qemu.Layer{Source: h.source(code), Format: u.Code.Format, ReadOnly: true},
		Variables: qemu.Layer{Source: h.source(variables), Format: u.Template.Format},
		SMM:       u.SMM,
	}
	return nil
}

func openVariables(u *launcher.UEFI) (*os.File, error) {
	if u.Variables == "" {
		template, err := os.Open(u.Template.Path)
		if err != nil {
			return nil, err
		}
		return inMemory(template)
	}
	if err := launcher.MakeVariables(u); err != nil {
		return nil, err
	}
	chain, err := launcher.OpenVariables(u)
	if err != nil {
		return nil, err
	}
	return chain.Top().File, nil
}
