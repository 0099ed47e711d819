package launcher

import (
	"kvmrun/images"
	"kvmrun/netplumb"
)

// Plan is what Start would do.
type Plan struct {
	Spec    Spec           `json:"spec"` // completed
	Network *netplumb.Plan `json:"network"`
	Command []string       `json:"command"` // QEMU's arguments in the script
	Script  string         `json:"script"`  // does the same by hand
	Notes   []string       `json:"notes,omitempty"`
}

// Plan completes the Spec and plans, as Start would, and changes nothing. What
// it chooses (name, address, user ID) is not reserved.
func (l *Launcher) Plan(spec Spec) (Plan, error) {
	const op = "start"
	d, err := l.draft(spec)
	if err != nil {
		return Plan{}, during(op, err)
	}
	defer d.close()
	if err := l.preview(d); err != nil {
		return Plan{}, during(op, err)
	}
	s := d.spec
	facts, err := d.host.Facts(s.Network.Uplink, s.Network.Gateway)
	if err != nil {
		return Plan{}, during(op, err)
	}
	network, err := netplumb.NewPlan(s.NetConfig(), facts)
	if err != nil {
		return Plan{}, during(op, err)
	}
	if err := d.host.CheckTapFree(s.Network.Tap); err != nil {
		return Plan{}, during(op, err)
	}
	own, err := l.planDisks(&s, d.kept)
	if err != nil {
		return Plan{}, during(op, err)
	}
	chains := make([]*images.Chain, len(s.Disks))
	for i, disk := range s.Disks {
		if chains[i], err = own.openPlanned(i, disk, s.AllowBacking); err != nil {
			return Plan{}, during(op, err)
		}
		defer func() { _ = chains[i].Close() }()
	}
	byHand := s.byHand()
	documents, err := d.seedFiles(byHand)
	if err != nil {
		return Plan{}, during(op, err)
	}
	if documents != nil {
		d.note("the script has secrets in it, the guest's private SSH key among them: let nobody else read it")
	}
	p := Plan{Spec: s, Network: network, Notes: d.notes}
	p.Script, p.Command, err = script(&byHand, network, chains, own, documents, lookAtDevices())
	return p, during(op, err)
}
