package explain

import "fmt"

// hops judges what was seen, in the order of the way from the guest outwards.
func (f *facts) hops() []Hop {
	all := []Hop{f.judgeTap(), f.judgeGuest(), f.judgeAddress(), f.judgeNeighbour(), f.judgeRoute(), f.judgeHost()}
	if f.cfg.Uplink == "" {
		return append(all, skipped(HopUplink, "there is no uplink: this host and its other guests reach the guest, nobody else"))
	}
	return append(all, f.judgeUplink(), f.judgeForwarding(), f.judgeRPFilter(), f.judgeRouteIn(), f.judgeRouteOut(), f.judgeFilters(),
		f.judgeLANMachine(), f.judgeRival(), f.judgeProxyARP(), f.judgeGateway(), f.judgeOutward(), f.judgeInward())
}

func ok(name, format string, args ...any) Hop {
	return Hop{Name: name, Status: OK, Seen: fmt.Sprintf(format, args...)}
}

func warn(name, remedy, format string, args ...any) Hop {
	return Hop{Name: name, Status: Warn, Seen: fmt.Sprintf(format, args...), Remedy: remedy}
}

func fail(name, remedy, format string, args ...any) Hop {
	return Hop{Name: name, Status: Fail, Seen: fmt.Sprintf(format, args...), Remedy: remedy}
}

func unknown(name, format string, args ...any) Hop {
	return Hop{Name: name, Status: Unknown, Seen: fmt.Sprintf(format, args...)}
}

func skipped(name, format string, args ...any) Hop {
	return Hop{Name: name, Status: Skipped, Seen: fmt.Sprintf(format, args...)}
}

// look adds commands that show more.
func (h Hop) look(commands ...string) Hop {
	h.Look = join(commands...)
	return h
}
