package supervisor

import (
	"os"
	"path/filepath"
	"syscall"

	"kvmrun/launcher"
)

// executable is the kvmrun that is installed where this one was, perhaps a newer
// one, or this one itself. This process is root, and its path is from long ago: what
// somebody else could have put there since is not executed.
func executable() string {
	path, err := os.Executable()
	if err != nil || !trusted(path, "/") {
		return launcher.Self
	}
	return path
}

// trusted tells whether a path names a regular file that nobody but root and this
// user could have put there: theirs, and not for others to write, are the file and
// all directories above it, up to top. A sticky directory that others may write does
// not serve: whoever comes first has a name that is free. Nor does a symbolic link.
func trusted(path, top string) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || !ours(info) {
		return false
	}
	for path != top {
		path = filepath.Dir(path)
		if info, err = os.Lstat(path); err != nil || !info.IsDir() || !ours(info) {
			return false
		}
	}
	return true
}

// ours tells whether only root and this user may write a file.
func ours(info os.FileInfo) bool {
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	const others = 0o022
	return (owner == 0 || owner == os.Geteuid()) && info.Mode().Perm()&others == 0
}
