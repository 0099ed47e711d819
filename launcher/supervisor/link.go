package supervisor

import (
	"context"
	"errors"

	"kvmrun/launcher"
	"kvmrun/launcher/qemu"
	"kvmrun/qmp"
)

// setLink raises the link of the guest's card or takes it down.
func (s *supervisor) setLink(up bool) {
	event := eventLinkDown
	if up {
		event = eventLinkUp
	}
	form, mac := s.spec.Network.Form, s.spec.Network.MAC.String()
	s.attempt(event, &s.state.Linked, func(ctx context.Context, client *qmp.Client) error {
		card, err := cardName(ctx, client, form, mac)
		if err != nil {
			return err
		}
		args := map[string]any{"name": card, "up": up}
		if err := client.Execute(ctx, "set_link", args, nil); err != nil {
			return err
		}
		s.post(context.Background(), func() { s.state.LinkDown = !up }) // written down with the attempt
		return nil
	})
}

// cardName is what QEMU calls the guest's card: in the classic form it is QEMU that
// chooses.
func cardName(ctx context.Context, client *qmp.Client, form qemu.NetForm, mac string) (string, error) {
	if form != qemu.FormNet {
		return qemu.CardID, nil
	}
	var clients string
	args := map[string]string{"command-line": "info network"}
	if err := client.Execute(ctx, "human-monitor-command", args, &clients); err != nil {
		return "", err
	}
	name := launcher.CardNamed(clients, mac)
	if name == "" {
		return "", errors.New("QEMU does not say what the guest's card is called")
	}
	return name, nil
}
