package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"kvmrun/launcher"
	"kvmrun/launcher/stats"
)

// statsFlags are the flags of stats.
type statsFlags struct {
	watch, json, prometheus bool
	interval                time.Duration
	options                 launcher.StatsOptions
}

// leastInterval keeps a watch from being all that the host does.
const leastInterval = 100 * time.Millisecond

func statsCommand(a *app) *cobra.Command {
	var f statsFlags
	c := &cobra.Command{
		Use:   "stats [NAME...]",
		Short: "Show what VMs use, and what has gone through them",
		Long: `Show what each VM uses of the host and what has gone through it since QEMU
started: of those named, or of all that have not failed.

  CPU         processor time of QEMU's, the guest's in it; with --watch percent
              of one processor
  MEMORY      QEMU's proportional share (PSS) of the host's memory
  OF          the memory that the guest has been given, less what a memory
              balloon takes back
  GUEST USES  what the guest itself says that it uses; only of a machine with a
              memory balloon, whose driver in the guest tells
  READ, WRITTEN    by the guest, all disks together
  RECEIVED, SENT   by the guest, over the network
  SUPERVISOR  processor time and memory (PSS) of the VM's supervisor

With --watch READ to SENT are for each second. What is not known is shown as -.
Disks and the guest's view are asked of QEMU's monitor, which serves one client
at a time; if it is occupied for longer than --timeout, the rest is shown, and
why below. Ctrl-C is how a watch ends; that of VMs that are named also ends when
none of them has been there for two seconds.`,
		Example: `  kvmrun stats
  kvmrun stats web --watch
  kvmrun stats --watch --interval 10s --json >> stats.jsonl
  kvmrun stats --json | jq '.[] | {name, pss: .qemu.pss_bytes}'
  kvmrun stats --prometheus > kvmrun.prom.new      # for node_exporter's textfile collector`,
		Annotations:       ends(launcher.KindNotFound, launcher.KindPermission, launcher.KindStorage, launcher.KindCanceled),
		ValidArgsFunction: a.completeNames,
		RunE: func(c *cobra.Command, names []string) error {
			if err := f.check(c); err != nil {
				return err
			}
			l, err := a.launcher()
			if err != nil {
				return err
			}
			if f.watch {
				return l.WatchStats(c.Context(), names, f.interval, f.options, a.statsShower(f.json))
			}
			return a.statsOnce(c.Context(), l, names, f)
		},
	}
	flags := c.Flags()
	flags.BoolVarP(&f.watch, "watch", "w", false, "go on, and show rates")
	flags.DurationVar(&f.interval, "interval", time.Second, "time between two looks, for --watch")
	flags.BoolVar(&f.json, "json", false, "print an array of objects; with --watch one object a line for each VM")
	flags.BoolVar(&f.prometheus, "prometheus", false, "print metrics in Prometheus's text format")
	flags.DurationVar(&f.options.Timeout, "timeout", launcher.DefaultStatsTimeout, "how long to wait for each VM's monitor")
	return c
}

func (f *statsFlags) check(c *cobra.Command) error {
	switch {
	case f.json && f.prometheus:
		return usage(c, errors.New("--json and --prometheus are two forms: choose one"))
	case f.watch && f.prometheus:
		return usage(c, errors.New("--prometheus is one look: leave --watch out, and run it again for the next"))
	case !f.watch && c.Flags().Changed("interval"):
		return usage(c, errors.New("--interval is for --watch"))
	case f.interval < leastInterval:
		return usage(c, fmt.Errorf("--interval %s is too short; the least is %s", f.interval, leastInterval))
	case f.options.Timeout <= 0:
		return usage(c, errors.New("--timeout must be above 0"))
	}
	return nil
}

// statsOnce prints one look, and then what could not be looked at.
func (a *app) statsOnce(ctx context.Context, l *launcher.Launcher, names []string, f statsFlags) error {
	vms, err := l.Stats(ctx, names, f.options)
	switch {
	case err != nil && len(vms) == 0:
		return err
	case f.json:
		return firstOf(a.print(vms), err)
	case f.prometheus:
		return firstOf(stats.WritePrometheus(a.out, vms), err)
	}
	_, failed := a.out.Write(statsTable(vms, false))
	return firstOf(failed, err)
}

// statsShower returns what shows one look after another.
func (a *app) statsShower(asJSON bool) func([]stats.VM, error) error {
	said := ""
	screen := terminalOf(a.out)
	return func(vms []stats.VM, err error) error {
		if text := fmt.Sprint(err); err != nil && text != said && screen == nil {
			a.say("%s", text) // once, and not every second
			said = text
		}
		switch {
		case asJSON:
			return a.statsLines(vms)
		case screen != nil:
			return a.redraw(screen, statsBlock(vms, err))
		}
		_, failed := a.out.Write(append(statsBlock(vms, nil), '\n'))
		return failed
	}
}

// statsLines prints one object a line.
func (a *app) statsLines(vms []stats.VM) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	for _, vm := range vms {
		if err := encoder.Encode(vm); err != nil {
			return err
		}
	}
	_, err := a.out.Write(b.Bytes())
	return err
}

// statsBlock is one look of a watch: when it was, the table, and what failed.
func statsBlock(vms []stats.VM, err error) []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, time.Now().Format(time.DateTime))
	b.Write(statsTable(vms, true))
	if err != nil {
		fmt.Fprintln(&b, strings.Join(harmlessLines(err.Error()), "\n"))
	}
	return b.Bytes()
}

// terminalOf is the terminal that results go to, nil if they go elsewhere.
func terminalOf(out any) *os.File {
	if o, ok := out.(*output); ok {
		if f, ok := o.w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			return f
		}
	}
	return nil
}

// Control sequences of terminals (ECMA-48): CUP to the first place, EL and ED.
const (
	goHome    = "\x1b[H"
	eraseTail = "\x1b[K"
	eraseRest = "\x1b[J"
)

// redraw writes a text over the one before, as much of it as the terminal has room for.
func (a *app) redraw(screen *os.File, text []byte) error {
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	if width, height, err := term.GetSize(int(screen.Fd())); err == nil {
		lines = fit(lines, width, height)
	}
	_, err := a.out.Write([]byte(goHome + strings.Join(lines, eraseTail+"\n") + eraseTail + "\n" + eraseRest))
	return err
}

// fit cuts lines to a terminal's size; the last line is the cursor's.
func fit(lines []string, width, height int) []string {
	if most := height - 1; len(lines) > most && most > 1 {
		left := len(lines) - most + 1
		lines = append(lines[:most-1:most-1], fmt.Sprintf("… %d lines more", left))
	}
	for i, line := range lines {
		if letters := []rune(line); len(letters) > width && width > 0 {
			lines[i] = string(letters[:width])
		}
	}
	return lines
}
