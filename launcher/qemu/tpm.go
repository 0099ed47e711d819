package qemu

import "strconv"

// TPM is the control channel of a TPM 2.0 that another program emulates: a connected
// socket, or the path of one to connect to if FD is 0 (QEMU: docs/specs/tpm.rst).
type TPM struct {
	FD   int
	Path string
}

// tpm gives the machine a TPM by the interface that firmware and systems of today expect.
func (c Config) tpm() []string {
	if c.TPM == nil {
		return nil
	}
	where := "path=" + escape(c.TPM.Path)
	if c.TPM.FD != 0 {
		where = "fd=" + strconv.Itoa(c.TPM.FD)
	}
	return []string{
		"-chardev", "socket,id=tpm-control," + where,
		"-tpmdev", "emulator,id=tpm0,chardev=tpm-control",
		"-device", "tpm-crb,tpmdev=tpm0",
	}
}
