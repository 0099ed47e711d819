package netplumb

import "fmt"

// uplinkSysctl is a setting of the uplink that guests share. It is that of the
// interface by its number, whatever its name is by now: what has the name later
// may be a stranger's.
type uplinkSysctl struct {
	sysctl // with the uplink's name when the plan was made
	index  int
	host   *Host
}

func (s uplinkSysctl) bind(h *Host) resource {
	s.host = h
	return s
}

func (s uplinkSysctl) key() string { return uplinkKey(s.index, s.last()) }

// uplinkKey names something of an uplink's in the journal.
func uplinkKey(index int, what string) string { return fmt.Sprintf("interface-%d.%s", index, what) }

func (s uplinkSysctl) want() string               { return s.value }
func (s uplinkSysctl) satisfied(have string) bool { return have == s.value }

func (s uplinkSysctl) read() (string, error) {
	now, err := s.now()
	if err != nil {
		return "", err
	}
	return now.read()
}

func (s uplinkSysctl) write(value string) error {
	now, err := s.now()
	if err != nil {
		return err
	}
	return now.write(value)
}

// now is the setting under the name that the uplink has now.
func (s uplinkSysctl) now() (now sysctl, err error) {
	now = s.sysctl
	now.iface, err = s.host.rtnl.interfaceName(s.index)
	return now, err
}

// governor is ip_forward, the setting of all interfaces, where that is copied
// to each one when it is changed (inet_forward_change, net/ipv4/devinet.c).
func (s uplinkSysctl) governor() (string, error) {
	if s.name != forwarding {
		return "", nil
	}
	return sysctl{name: forwarding, iface: "all"}.read()
}
