package hostcheck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// legacyFilter names the filter table of iptables as it was before nftables.
const legacyFilter = "legacy iptables"

// legacyTimeout ends a program that waits for iptables' lock.
const legacyTimeout = 2 * time.Second

// readLegacy reads legacy iptables' filter table; loaded is false where the
// kernel has none, or has it but filters nothing by it.
func (h Host) readLegacy() (f filter, loaded bool, err error) {
	tables, err := h.read("proc/thread-self/net/ip_tables_names")
	if errors.Is(err, fs.ErrNotExist) || err == nil && !slices.Contains(strings.Fields(tables), "filter") {
		return f, false, nil
	}
	if err != nil {
		return f, false, fmt.Errorf("look for legacy iptables: %w", err)
	}
	text, err := listLegacy()
	if err != nil {
		return f, false, fmt.Errorf("legacy iptables' filter table is loaded, but cannot be read: %w", err)
	}
	return parseLegacy(text), true, nil
}

// listLegacy lists the table by iptables-legacy or, where that name is not
// used, by an iptables of which it is known to be the same.
func listLegacy() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), legacyTimeout)
	defer cancel()
	program, err := exec.LookPath("iptables-legacy")
	if err != nil {
		program = "iptables"
		version, err := exec.CommandContext(ctx, program, "--version").Output()
		if err != nil || bytes.Contains(version, []byte("nf_tables")) {
			return "", errors.New("iptables-legacy is not installed")
		}
	}
	out, err := exec.CommandContext(ctx, program, "-S").Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return "", fmt.Errorf("%s -S: %w: %s", program, err, bytes.TrimSpace(exit.Stderr))
	}
	return string(out), err
}

// parseLegacy reads what iptables -S prints. Lines that it does not understand
// are rules that are not judged.
func parseLegacy(text string) filter {
	rules := map[string][]rule{}
	f := filter{
		name:   legacyFilter,
		chains: map[string]bool{},
		rules:  func(chain string) ([]rule, error) { return rules[chain], nil },
	}
	for line := range strings.Lines(text) {
		words := splitQuoted(line)
		if len(words) < 2 {
			continue
		}
		chain := words[1]
		f.chains[chain] = true
		switch words[0] {
		case "-P":
			if len(words) > 2 {
				f.hooks = append(f.hooks, hook{Hook(strings.ToLower(chain)), chain, verdictOfWord(words[2])})
			}
		case "-A":
			rules[chain] = append(rules[chain], legacyRule(words[2:]))
		}
	}
	return f
}

// legacyRule reads a rule's words after the chain's name.
func legacyRule(words []string) rule {
	var r rule
	invert := false
	for len(words) > 0 {
		word, value := words[0], ""
		words = words[1:]
		if word == "!" {
			invert = true
			continue
		}
		if len(words) > 0 {
			value = words[0]
		}
		switch word {
		case "-i":
			r.matches = append(r.matches, match{field: inName, value: legacyName(value), invert: invert})
		case "-o":
			r.matches = append(r.matches, match{field: outName, value: legacyName(value), invert: invert})
		case "-s":
			r.compareAddress(source, value, invert)
		case "-d":
			r.compareAddress(destination, value, invert)
		case "--ctstate", "--state":
			r.matches = append(r.matches, match{field: newState, invert: slices.Contains(strings.Split(value, ","), "NEW") == invert})
		case "-m":
			r.unsure = r.unsure || !slices.Contains([]string{"comment", "conntrack", "state"}, value)
		case "--comment":
		case "-g":
			r.verdict, r.target = leap, value
			return r
		case "-j": // what follows belongs to the target
			r.verdict, r.target = verdictOfWord(value), value
			return r
		default:
			r.unsure, invert = true, false
			continue // its value, if it has one, is not known to be one
		}
		invert = false
		words = words[min(1, len(words)):]
	}
	return r
}

// compareAddress reads an address or a network.
func (r *rule) compareAddress(f field, value string, invert bool) {
	prefix, err := netip.ParsePrefix(value)
	if err != nil {
		addr, err := netip.ParseAddr(value)
		r.unsure = r.unsure || err != nil
		prefix = netip.PrefixFrom(addr, 32)
	}
	r.matches = append(r.matches, match{field: f, prefix: prefix, invert: invert})
}

func legacyName(name string) string {
	if prefix, wild := strings.CutSuffix(name, "+"); wild {
		return prefix + "*"
	}
	return name
}

// verdictOfWord reads a target: a verdict, an extension, or else a chain.
func verdictOfWord(word string) verdict {
	switch word {
	case "ACCEPT":
		return accept
	case "DROP":
		return drop
	case "RETURN":
		return leave
	case "LOG", "NFLOG", "MARK", "CONNMARK", "TCPMSS", "REJECT", "NFQUEUE", "QUEUE":
		return verdictOfTarget(word)
	default:
		return jump // an unknown extension is like a chain without rules
	}
}

// splitQuoted splits a line at spaces outside of double quotes, in which a
// backslash keeps the next character from ending them.
func splitQuoted(line string) []string {
	var words []string
	var word strings.Builder
	inWord, inQuotes, escaped := false, false, false
	for _, r := range strings.TrimSpace(line) {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case inQuotes && r == '\\':
			escaped = true
		case r == '"':
			inQuotes, inWord = !inQuotes, true
		case r == ' ' && !inQuotes:
			if inWord {
				words = append(words, word.String())
				word.Reset()
			}
			inWord = false
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	return words
}
