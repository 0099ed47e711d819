package launcher

import (
	"fmt"
	"strconv"
	"strings"
)

// UIDs is a range of user IDs, each also taken as a group ID, from which every
// VM's QEMU gets one of its own. The range needs no entries in passwd.
type UIDs struct{ First, Count uint32 }

// DefaultUIDs lies in what the systemd project's table of user IDs leaves
// unassigned (systemd, docs/UIDS-GIDS.md: 1879048192 to 2147483647), wide
// enough that separate run directories hardly ever choose alike.
var DefaultUIDs = UIDs{First: 1890000000, Count: 1000000}

// ParseUIDs reads FIRST:COUNT.
func ParseUIDs(text string) (UIDs, error) {
	first, count, _ := strings.Cut(text, ":")
	from, err := strconv.ParseUint(first, 10, 32)
	n, err2 := strconv.ParseUint(count, 10, 32)
	u := UIDs{First: uint32(from), Count: uint32(n)}
	if err != nil || err2 != nil || !u.valid() {
		return UIDs{}, fail(KindUsage, "write it like "+DefaultUIDs.String(), "--uids %.40q is no range of user IDs above 0", text)
	}
	return u, nil
}

// valid leaves out root, and the number that means "leave it as it is".
func (u UIDs) valid() bool {
	return u.First > 0 && u.Count > 0 && uint64(u.First)+uint64(u.Count) <= 1<<32-1
}

// String is the range as ParseUIDs reads it.
func (u UIDs) String() string { return fmt.Sprintf("%d:%d", u.First, u.Count) }

// Credentials are the user and group that QEMU runs as.
type Credentials struct {
	UID uint32 `json:"uid"`
	GID uint32 `json:"gid"`
}

// ParseCredentials reads UID or UID:GID, both numbers. Root is refused: a guest
// that breaks out of QEMU would own the host.
func ParseCredentials(text string) (Credentials, error) {
	const advice = "write it like 1000 or 1000:1000"
	user, group, found := strings.Cut(text, ":")
	if !found {
		group = user
	}
	uid, err := strconv.ParseUint(user, 10, 32)
	gid, err2 := strconv.ParseUint(group, 10, 32)
	// The highest number means "leave it as it is" to the kernel.
	const nobody = 1<<32 - 1
	switch {
	case err != nil || err2 != nil || uid == nobody || gid == nobody:
		return Credentials{}, fail(KindUsage, advice, "--run-as %.40q names no user", text)
	case uid == 0 || gid == 0:
		return Credentials{}, fail(KindUsage, advice, "--run-as %s: QEMU never runs as root", text)
	}
	return Credentials{UID: uint32(uid), GID: uint32(gid)}, nil
}
