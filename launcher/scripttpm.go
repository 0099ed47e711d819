package launcher

import (
	"strings"

	"kvmrun/launcher/qemu"
)

// tpm starts a swtpm, which ends when QEMU does.
func (w *scriptWriter) tpm(s *Spec) *qemu.TPM {
	if s.TPM == nil {
		return nil
	}
	folder := w.folder + "/tpm"
	as := dropPrivileges(&Spec{RunAs: s.RunAs}, 0) // QEMU must reach its socket
	w.step("a TPM, which is new each time", []string{
		"mkdir -m 0700 " + folder + " && chown --reference=" + w.folder + " " + folder,
		strings.Join(as, " ") + " swtpm " + strings.Join(SwtpmArgs, " ") + " --daemon --terminate --pid file=" + folder + "/pid" +
			" --ctrl type=unixio,path=" + folder + "/control --tpmstate dir=" + folder,
	}, []string{"[ ! -e " + folder + `/pid ] || kill "$(cat ` + folder + `/pid)"`})
	return &qemu.TPM{Path: folder + "/control"}
}
