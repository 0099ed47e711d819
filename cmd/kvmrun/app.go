package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
	"kvmrun/launcher/vmdir"
)

// app is what the commands share: where VMs live and where output goes.
type app struct {
	runDir, dataDir string
	uids            string
	out, err        io.Writer
}

func newApp() *app { return &app{out: &output{w: os.Stdout}, err: os.Stderr} }

// command is the whole command line.
func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "kvmrun",
		Short: "Launch virtual machines with real, routed addresses",
		Long: `kvmrun starts virtual machines with QEMU/KVM and gives each its own routed IP
address: a tap, a /32 route, proxy ARP and a MAC derived from the address. No
bridge, no NAT, no central daemon. When a VM ends, nothing of it is left but the
disk that it got from an image of the store.`,
		Example: `  kvmrun start disk.qcow2          start a VM, print its name and address
  kvmrun list                      what runs, at which address
  kvmrun stop disk                 shut it down, take its network back`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          noSuchCommand,
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			return noneEmpty(c)
		},
	}
	root.PersistentFlags().StringVar(&a.runDir, "run-dir", fromEnv("KVMRUN_RUN_DIR", vmdir.DefaultRun), "where running VMs are kept (KVMRUN_RUN_DIR)")
	root.PersistentFlags().StringVar(&a.dataDir, "data-dir", fromEnv("KVMRUN_DATA_DIR", launcher.DefaultData), "where disks and other lasting things are kept (KVMRUN_DATA_DIR)")
	root.PersistentFlags().StringVar(&a.uids, "uids", fromEnv("KVMRUN_UIDS", launcher.DefaultUIDs.String()), "user IDs to run QEMU as, FIRST:COUNT (KVMRUN_UIDS)")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usage(c, flagError(err)) })
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.CompletionOptions.HiddenDefaultCmd = false
	root.AddCommand(
		startCommand(a), listCommand(a), inspectCommand(a), statsCommand(a), waitCommand(a), stopCommand(a),
		pauseCommand(a), resumeCommand(a), resetCommand(a), restartCommand(a), setCommand(a), rmCommand(a), renameCommand(a), commitCommand(a),
		adoptCommand(a), gcCommand(a),
		logsCommand(a), consoleCommand(a), screenshotCommand(a), execCommand(a), cpCommand(a), sshCommand(a), sshConfigCommand(a), hostsCommand(a), qmpCommand(a), eventsCommand(a),
		imageCommand(a), hostCommand(a), netCommand(a), versionCommand(a),
	)
	root.InitDefaultCompletionCmd()
	if completion, _, err := root.Find([]string{"completion"}); err == nil {
		ownWords(completion)
	}
	document(root)
	return root
}

// noSuchCommand is what a command does that only has others below it.
func noSuchCommand(c *cobra.Command, given []string) error {
	if len(given) == 0 {
		return c.Help()
	}
	err := fmt.Errorf("there is no command %.40q", given[0])
	if near := c.SuggestionsFor(given[0]); len(near) > 0 {
		err = fmt.Errorf("%w; did you mean %s?", err, strings.Join(near, ", "))
	}
	return usage(c, err)
}

// fromEnv is a flag's default: the variable's value, if it has one.
func fromEnv(variable, otherwise string) string {
	if value := os.Getenv(variable); value != "" {
		return value
	}
	return otherwise
}

// launcher is the library on the run directory that the flags name.
func (a *app) launcher() (*launcher.Launcher, error) {
	uids, err := launcher.ParseUIDs(a.uids)
	if err != nil {
		return nil, err
	}
	return launcher.New(launcher.Options{RunDir: a.runDir, DataDir: a.dataDir, UIDs: uids})
}

// print writes a result as indented JSON.
func (a *app) print(v any) error {
	encoder := json.NewEncoder(a.out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// say writes for people, on standard error, each line with the program's name.
func (a *app) say(format string, args ...any) {
	for _, line := range harmlessLines(fmt.Sprintf(format, args...)) {
		_, _ = fmt.Fprintln(a.err, "kvmrun: "+line)
	}
}

// completeEnded offers the names of the VMs that do not run and of which something is
// left.
func (a *app) completeEnded(_ *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	l, err := a.launcher()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	vms, err := l.List(true)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, vm := range vms {
		if (vm.State == launcher.Stopped || vm.State == launcher.Failed) && !slices.Contains(given, vm.Name) {
			names = append(names, vm.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeNames offers the names of the VMs there are.
func (a *app) completeNames(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	l, err := a.launcher()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names, err := l.Names()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
