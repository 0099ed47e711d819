package netplumb

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// The failures that a caller may want to tell apart. They are wrapped together
// with the system's own error, so errors.Is finds both.
var (
	// ErrNoTun says that /dev/net/tun is missing or has no driver behind it.
	ErrNoTun = errors.New("no tun device")
	// ErrTapExists says that an interface of the tap's name exists already.
	// An existing interface is never adopted.
	ErrTapExists = errors.New("interface exists")
	// ErrPermission says that CAP_NET_ADMIN or access to a file is missing.
	ErrPermission = errors.New("permission denied")
	// ErrNoUplink says that the uplink does not exist or is none.
	ErrNoUplink = errors.New("no uplink")
	// ErrAddressOnHost says that the host itself has the guest's address.
	ErrAddressOnHost = errors.New("address is on this host")
	// ErrAddressRouted says that the host has a /32 route to the guest's
	// address already.
	ErrAddressRouted = errors.New("address is routed elsewhere")
	// ErrAddressInvalid says that an address, subnet or gateway can't serve.
	ErrAddressInvalid = errors.New("invalid address")
	// ErrSubnetOverlap says that a route of the host's covers part of the subnet.
	ErrSubnetOverlap = errors.New("subnet overlaps a route of this host")
	// ErrSubnetFull says that no address of the subnet is free.
	ErrSubnetFull = errors.New("no free address in subnet")
	// ErrConfig says that a Config is incomplete or contradicts itself.
	ErrConfig = errors.New("invalid network configuration")
)

// permission adds ErrPermission to an EPERM or EACCES of the kernel's.
func permission(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%w: %w; run as root or with CAP_NET_ADMIN", ErrPermission, err)
	}
	return err
}

// gone reports whether an error means that the thing is no longer there, which
// for whoever undoes something is as good as success.
func gone(err error) bool {
	for _, errno := range []unix.Errno{unix.ENOENT, unix.ENODEV, unix.ENXIO, unix.ESRCH, unix.EADDRNOTAVAIL} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// uplinkGone adds ErrNoUplink where what is missing can only be the uplink.
func uplinkGone(err error) error {
	if gone(err) && !errors.Is(err, ErrNoUplink) {
		return fmt.Errorf("%w: %w", ErrNoUplink, err)
	}
	return err
}

// routed adds ErrAddressRouted to the kernel's EEXIST for a route.
func routed(err error) error {
	if errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("%w: %w; ip route show table all tells where to", ErrAddressRouted, err)
	}
	return err
}
