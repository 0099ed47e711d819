package netplumb

import (
	"slices"
	"strings"
)

// Commands returns the plan's steps as commands of iproute2 and sysctl, in
// order. In place of Apply's descriptors they make a persistent tap that
// belongs to TapUID and TapGID.
func (p *Plan) Commands() ([]Commands, error) {
	steps, err := p.steps()
	if err != nil {
		return nil, err
	}
	all := make([]Commands, len(steps))
	for i, s := range steps {
		all[i] = s.shell()
		all[i].Step = s.String()
	}
	return all, nil
}

// Script returns the plan's commands as two pieces of a script for sh: one that
// sets up, one that tears down in reverse. They keep the old values of sysctls
// in shell variables and so must run in one shell, between them whatever uses
// the tap.
func (p *Plan) Script() (setUp, tearDown string, err error) {
	all, err := p.Commands()
	if err != nil {
		return "", "", err
	}
	var up, down strings.Builder
	for _, c := range all {
		writeCommands(&up, c.Step, c.Do)
	}
	for _, c := range slices.Backward(all) {
		writeCommands(&down, "undo: "+c.Step, c.Undo)
	}
	return up.String(), down.String(), nil
}

func writeCommands(b *strings.Builder, comment string, commands []string) {
	if len(commands) == 0 {
		return
	}
	b.WriteString("# " + comment + "\n")
	for _, c := range commands {
		b.WriteString(c + "\n")
	}
}

// quote makes one word of sh of any text.
func quote(s string) string {
	special := func(r rune) bool { return !alphanumeric(r) && !strings.ContainsRune("-_=+.,:/@", r) }
	if s != "" && !strings.ContainsFunc(s, special) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
