package launcher

import (
	"fmt"
	"strings"

	"kvmrun/launcher/qemu"
)

// shares starts a virtiofsd for each shared folder, which ends when QEMU does.
func (w *scriptWriter) shares(s *Spec) (shares []qemu.Share) {
	if len(s.Shares) == 0 {
		return nil
	}
	w.comment("the shared folders")
	program, err := FindVirtiofsd()
	if err != nil {
		program = "virtiofsd"
	}
	for i, share := range s.Shares {
		socket := fmt.Sprintf("%s/share%d.sock", w.folder, i)
		fmt.Fprintf(w, "%s --socket-path=%s -o %s -o modcaps=-mknod &\n", program, socket, quote("source="+share.Folder))
		// With --socket-path, QEMU's own virtiofsd leaves a file with its PID.
		const pids = "/run/virtiofsd"
		w.undo(fmt.Sprintf("rm -f %s/%s.pid; rmdir %s 2>/dev/null", pids, strings.ReplaceAll(socket, "/", "."), pids))
		fmt.Fprintf(w, "until [ -S %s ]; do kill -0 $!; sleep 0.1; done\n", socket)
		fmt.Fprintf(w, "chown %d:%d %s\n", s.RunAs.UID, s.RunAs.GID, socket)
		shares = append(shares, qemu.Share{Tag: share.Tag, Path: socket})
	}
	return shares
}
