package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

// deviceFlags are those of start's that give the machine more than it has by itself.
type deviceFlags struct {
	firmware  string
	variables string
	vnc       bool
	tpm       bool
	shares    []string
}

// Choices of --firmware.
const (
	firmwareBIOS   = "bios"
	firmwareUEFI   = "uefi"
	firmwareSecure = "uefi-secure"
)

func (f *deviceFlags) register(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.firmware, "firmware", firmwareBIOS, "what boots the disk: bios|uefi|uefi-secure (with Secure Boot)")
	flags.StringVar(&f.variables, "firmware-vars", "", "UEFI: a file in which its variables stay, made if it is not there (default: they begin anew with each start)")
	flags.BoolVar(&f.vnc, "vnc", false, "give the machine a screen, shown by VNC on a Unix socket (kvmrun inspect: files.vnc)")
	flags.BoolVar(&f.tpm, "tpm", false, "give the machine a TPM 2.0, emulated by swtpm")
	flags.StringArrayVar(&f.shares, "share", nil, "share a folder of this host's with the guest, FOLDER:TAG, by virtiofs (repeatable)")
	_ = c.RegisterFlagCompletionFunc("firmware", cobra.FixedCompletions([]string{firmwareBIOS, firmwareUEFI, firmwareSecure}, cobra.ShellCompDirectiveNoFileComp))
}

// complete puts what was asked for into the Spec.
func (f *deviceFlags) complete(c *cobra.Command, s *launcher.Spec) error {
	s.Screen = f.vnc
	if f.tpm {
		s.TPM = new(launcher.TPM)
	}
	for _, text := range f.shares {
		share, err := launcher.ParseShare(text)
		if err != nil {
			return err
		}
		s.Shares = append(s.Shares, share)
	}
	switch f.firmware {
	case firmwareBIOS:
		if f.variables != "" {
			return usage(c, errors.New("--firmware-vars goes with --firmware uefi"))
		}
	case firmwareUEFI, firmwareSecure:
		s.UEFI = &launcher.UEFI{Secure: f.firmware == firmwareSecure, Variables: f.variables}
	default:
		return usage(c, fmt.Errorf("--firmware has no choice %q; choose one of bios, uefi, uefi-secure", f.firmware))
	}
	return nil
}
