package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
	"kvmrun/launcher/firstboot"
)

// firstBootFlags are those of start's that say what the guest's cloud-init is told.
type firstBootFlags struct {
	cloudInit string
	keys      []string
	told      launcher.FirstBoot
}

// Choices of --cloud-init.
const (
	cloudInitAuto = "auto"
	cloudInitOn   = "on"
	cloudInitOff  = "off"
)

// seedFlags are the flags that make no sense without a seed disk.
var seedFlags = []string{"login", "ssh-key", "user-data", "meta-data", "network-config"}

func (f *firstBootFlags) register(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.cloudInit, "cloud-init", cloudInitAuto, "give the guest's cloud-init a seed disk: on, off, or if a flag below asks for it: auto|on|off")
	flags.StringVar(&f.told.Login, "login", firstboot.Root, "cloud-init: the account that may log in by key; made if there is none")
	flags.StringArrayVar(&f.keys, "ssh-key", nil, "cloud-init: a public key that may log in beside kvmrun's, or its file (repeatable)")
	flags.StringVar(&f.told.UserData, "user-data", "", "cloud-init: a file with a #cloud-config, a script, or another form of user-data")
	flags.StringVar(&f.told.MetaData, "meta-data", "", "cloud-init: a file with meta-data, to which kvmrun adds what it leaves out")
	flags.StringVar(&f.told.NetworkConfig, "network-config", "", "cloud-init: a file with a network-config in place of kvmrun's")
	_ = c.RegisterFlagCompletionFunc("cloud-init", cobra.FixedCompletions([]string{cloudInitAuto, cloudInitOn, cloudInitOff}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("login", cobra.NoFileCompletions)
}

// complete is what the guest's cloud-init is to be told; nil if there is to be no seed
// disk.
func (f *firstBootFlags) complete(c *cobra.Command) (*launcher.FirstBoot, error) {
	asked := ""
	for _, flag := range seedFlags {
		if c.Flags().Changed(flag) {
			asked = flag
			break
		}
	}
	switch {
	case f.cloudInit == cloudInitOff && asked != "":
		return nil, usage(c, fmt.Errorf("--%s is for cloud-init, and --cloud-init off leaves that out", asked))
	case f.cloudInit == cloudInitOff, f.cloudInit == cloudInitAuto && asked == "":
		return nil, nil
	case f.cloudInit != cloudInitOn && f.cloudInit != cloudInitAuto:
		return nil, usage(c, fmt.Errorf("--cloud-init has no choice %q; choose one of auto, on, off", f.cloudInit))
	}
	told := f.told
	for _, text := range f.keys {
		key, err := launcher.ReadKey(text)
		if err != nil {
			return nil, err
		}
		told.AuthorizedKeys = append(told.AuthorizedKeys, key)
	}
	return &told, nil
}
