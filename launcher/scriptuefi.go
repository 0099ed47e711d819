package launcher

import (
	"fmt"

	"kvmrun/launcher/qemu"
)

// firmware opens a UEFI firmware and its variables. Those that nobody keeps are a copy
// without a name.
func (w *scriptWriter) firmware(u *UEFI, own *scriptDisks, c *qemu.Config) {
	if u == nil {
		return
	}
	variables := u.Variables
	if variables == "" && own != nil {
		variables = own.folder + "/" + u.keptName()
	}
	passing := variables == ""
	if passing {
		variables = w.folder + "/uefi-vars"
		fmt.Fprintf(w, "cp %s %s\n", quote(u.Template.Path), variables)
	} else {
		fmt.Fprintf(w, "[ -e %s ] || install -m 0600 %s %s\n", quote(variables), quote(u.Template.Path), quote(variables))
	}
	c.UEFI = &qemu.UEFI{
		Code:      qemu.Layer{Source: w.source("<", u.Code.Path), Format: u.Code.Format, ReadOnly: true},
		Variables: qemu.Layer{Source: w.source("<>", variables), Format: u.Template.Format},
		SMM:       u.SMM,
	}
	if passing {
		fmt.Fprintf(w, "rm %s\n", variables)
	}
}
