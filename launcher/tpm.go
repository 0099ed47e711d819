package launcher

import (
	"fmt"
	"os/exec"

	"kvmrun/launcher/qemu"
)

// TPM is a TPM 2.0, emulated by a swtpm of the VM's own.
type TPM struct {
	// RunAs is the user that swtpm runs as: neither QEMU's, so that not even a guest that
	// has broken out gets at the keys, nor another VM's. It is chosen with each start.
	RunAs Credentials `json:"run_as"`
}

// SwtpmArgs are arguments, next to one another, by which a VM's swtpm is known among the
// processes of its user.
var SwtpmArgs = []string{"socket", "--tpm2"}

// findSwtpm makes sure that there is a swtpm if one is needed.
func (d *draft) findSwtpm() error {
	if d.spec.TPM == nil {
		return nil
	}
	d.spec.TPM = new(TPM) // the caller keeps its own
	if _, err := exec.LookPath("swtpm"); err != nil {
		return fail(KindHost, "install it (Debian: apt install swtpm), or leave --tpm out", "swtpm is not here, which emulates TPMs")
	}
	return nil
}

func (s *Spec) checkTPM() error {
	if s.TPM != nil && s.Machine == qemu.MicroVM {
		return fail(KindUsage, "use --machine q35, or leave --tpm out", "microvm has no place for a TPM")
	}
	return nil
}

// chooseTPMUser gives the VM's swtpm a user ID that nobody else has, the next free one
// behind QEMU's.
func (l *Launcher) chooseTPMUser(s *Spec) error {
	if s.TPM == nil {
		return nil
	}
	uid, err := l.freeUser(s.RunAs.UID - l.uids.First + 1)
	if err == nil && uid == s.RunAs.UID {
		err = fail(KindHost, "give a wider range by --uids", "every user ID from %d on is taken", l.uids.First)
	}
	if err == nil {
		s.TPM.RunAs = Credentials{UID: uid, GID: uid}
	}
	return err
}

// checkRecordedTPM checks a description that was read: what runs as the TPM's user is
// signalled.
func (s *Spec) checkRecordedTPM() error {
	if s.TPM != nil && (s.TPM.RunAs.UID == 0 || s.TPM.RunAs.GID == 0 || s.TPM.RunAs.UID == s.RunAs.UID) {
		return fmt.Errorf("swtpm's user %d", s.TPM.RunAs.UID)
	}
	return nil
}
