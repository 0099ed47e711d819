// Package netplumb lays the host's side of the network for one guest address:
// a tap, a /32 route to it, a neighbour entry, and on the uplink whatever makes
// the address reachable from the LAN. There is no bridge and no NAT.
//
// The work is split in two. [NewPlan] is pure: from a [Config] and the [Facts]
// of the host it decides what will be done. A [Plan] can then be applied,
// reviewed, watched, repaired, undone, printed as plain ip and sysctl commands,
// stored as JSON and undone later by another process.
//
// What belongs to the tap alone (its routes, addresses and neighbours) lives
// and dies with the tap, which in turn lives as long as somebody holds one of
// its descriptors. What is shared by several guests (sysctls of the uplink, the
// gateway's alias) is journalled before it is changed: the first guest changes
// it, the last one restores it, and a value that somebody else set is left
// alone. What is the guest's own but outlives the tap (the proxy entry) carries
// [RouteProtocol], so that it is told apart from a stranger's look-alike.
//
// The package knows addresses and interfaces and has never heard of virtual
// machines. It handles IPv4; IPv6 is switched off on the tap.
package netplumb

const (
	// RouteProtocol is the routing protocol number (rtm_protocol, NDA_PROTOCOL,
	// IFA_PROTO) of everything kvmrun installs in the kernel. It is the first
	// byte of the guests' MACs, 0x52, and is used neither by iproute2's
	// rt_protos nor by FRR, BIRD, Open/R, keepalived or OVN.
	RouteProtocol = 82

	// LinkGroup is the link group (IFLA_GROUP) of every tap of kvmrun's. The
	// number is 0x5254, the first two bytes of the guests' MACs.
	LinkGroup = 0x5254
)
