package launcher

import (
	"hash/fnv"
	"strconv"
)

// leaseCID names the lease of a context identifier.
const leaseCID = "cid-"

// The context identifiers that VMs get. Those below have meanings of their own (vsock(7))
// or are what people choose by hand; all of a host's are in one number space, whatever
// the run directory, so the range is wide and where to begin is drawn from the UUID.
const (
	firstCID = 1 << 16
	cidCount = 1 << 30
)

// chooseCID gives the VM an address in the vsock address family that no other VM here has.
func (l *Launcher) chooseCID(s *Spec) error {
	if s.CID != 0 && l.root.Holder(leaseOfCID(s.CID)) == "" {
		return nil // it is started again
	}
	hash := fnv.New32a()
	_, _ = hash.Write([]byte("vsock " + s.UUID))
	from := hash.Sum32()
	for n := range uint32(cidCount) {
		cid := firstCID + (from+n)%cidCount
		if l.root.Holder(leaseOfCID(cid)) == "" {
			s.CID = cid
			return nil
		}
	}
	return fail(KindHost, "", "every vsock address is taken")
}

func leaseOfCID(cid uint32) string { return leaseCID + strconv.FormatUint(uint64(cid), 10) }
