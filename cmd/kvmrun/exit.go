package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kvmrun/launcher"
)

// exitStatus is a kind of failure as the shell sees it. A status, once given,
// never changes its meaning.
type exitStatus struct {
	status  int
	kind    launcher.Kind
	meaning string
}

var exitStatuses = []exitStatus{
	{1, launcher.KindInternal, "something else failed"},
	{2, launcher.KindUsage, "a flag, an argument or a value is wrong"},
	{3, launcher.KindNotFound, "there is no such VM or image"},
	{4, launcher.KindExists, "the name is taken"},
	{5, launcher.KindPermission, "root is needed, or a file may not be used"},
	{6, launcher.KindHost, "the host lacks something: QEMU, /dev/net/tun, KVM"},
	{7, launcher.KindImage, "a disk image or kernel cannot be used"},
	{8, launcher.KindImageInUse, "a disk image is in use"},
	{9, launcher.KindAddress, "an address is malformed, outside, reserved or taken"},
	{10, launcher.KindNetwork, "the subnet or the uplink does not fit this host"},
	{11, launcher.KindQEMU, "QEMU ended, refused, or did not answer"},
	{12, launcher.KindTimeout, "the time was over first"},
	{13, launcher.KindStorage, "the run or data directory or an image cannot be written, or not read"},
	{14, launcher.KindEnded, "the VM ended first"},
	{15, kindUnwell, "host check found something to mend"},
	{16, kindOutput, "the result could not be printed"},
	{17, kindUnreachable, "the VM cannot be reached"},
	{18, launcher.KindBoot, "the guest failed to boot, or its kernel panicked"},
	{19, launcher.KindFetch, "a download failed, or a file is not what its checksum says"},
	{20, launcher.KindGuest, "nobody in the guest can be talked to: no agent, no SSH"},
	{21, launcher.KindCloudInit, "cloud-init has failed in the guest"},
	{130, launcher.KindCanceled, "interrupted"},
}

// Kinds of the command's own: everything worked, the news are bad.
const (
	kindUnwell      launcher.Kind = "unwell"
	kindUnreachable launcher.Kind = "unreachable"
)

// badNews is how a command ends that has printed them.
type badNews struct {
	kind launcher.Kind
	text string
}

func (b *badNews) Error() string { return b.text }

// exit prints an error, each line of it with the program's name, and returns the exit status for it.
func (a *app) exit(err error) int {
	var news *badNews
	if failed := lost(a.out); failed != nil && (err == nil || errors.As(err, &news)) {
		err = failed
	}
	if err == nil {
		return 0
	}
	var passed *passedOn
	if errors.As(err, &passed) {
		return passed.status
	}
	kind := launcher.KindOf(err)
	if errors.As(err, &news) {
		kind = news.kind
	} else {
		for _, c := range launcher.Consoles(err) {
			for _, line := range c.Lines {
				a.say("%s | %s", c.Name, harmless(line))
			}
		}
		a.say("%v", err)
	}
	var mine ownFailure
	if errors.As(err, &mine) {
		return mine.status()
	}
	for _, s := range exitStatuses {
		if s.kind == kind {
			return s.status
		}
	}
	return 1
}

// statusesOf names, in a command's annotations, the kinds it can end with
// beside 0, 1, 2 and 16.
const statusesOf = "exit-statuses"

// ends lists the kinds of failure for a command's help.
func ends(kinds ...launcher.Kind) map[string]string {
	words := make([]string, len(kinds))
	for i, k := range kinds {
		words[i] = string(k)
	}
	return map[string]string{statusesOf: strings.Join(words, " ")}
}

// document adds the exit statuses to the help of every command.
func document(c *cobra.Command) {
	c.Long = strings.TrimSpace(either(c.Long, c.Short)) + "\n\nExit status:\n" + describeStatuses(c)
	for _, sub := range c.Commands() {
		document(sub)
	}
}

func either(text, otherwise string) string {
	if text != "" {
		return text
	}
	return otherwise
}

// describeStatuses is the table for one command; the root command has all.
func describeStatuses(c *cobra.Command) string {
	if c.Annotations[passesOn] != "" {
		return describeOwn()
	}
	listed, some := c.Annotations[statusesOf]
	kinds := append(strings.Fields(listed), string(launcher.KindInternal), string(launcher.KindUsage), string(kindOutput))
	var b strings.Builder
	b.WriteString("    0  all is well\n")
	for _, s := range exitStatuses {
		if (!some && !c.HasParent()) || slices.Contains(kinds, string(s.kind)) {
			fmt.Fprintf(&b, "  %3d  %s\n", s.status, s.meaning)
		}
	}
	return strings.TrimRight(b.String(), "\n")
}
