// Report turns what `go test -json` prints into what a person reads: a line
// per package, the output of what failed, and at the end everything that was
// skipped with its reason and a line of totals.
//
//	go test -json ./... 2>&1 | report [-save FILE]
//	report [-strict] FILE...
//
// The second form adds up what the first saved. The exit status is 1 when a
// test or a package failed, when nothing passed in a file or in a package that
// has tests, and with -strict when a test was skipped for lack of something that
// can be had: root, a program.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	save := flag.String("save", "", "keep what was read in `FILE`")
	strict := flag.Bool("strict", false, "nothing may be skipped that can be run on a machine set up for it")
	flag.Parse()
	total := newTally(os.Stdout)
	total.strict = *strict
	if err := run(total, *save, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func run(total *tally, save string, files []string) error {
	if len(files) == 0 {
		return live(total, save)
	}
	total.quiet = true
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		total.source = filepath.Base(name[:len(name)-len(filepath.Ext(name))])
		err = read(f, total)
		_ = f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return total.summary()
}

// live reads standard input as it comes.
func live(total *tally, save string) error {
	in := io.Reader(os.Stdin)
	if save != "" {
		f, err := os.Create(save)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		in = io.TeeReader(in, f)
	}
	if err := read(in, total); err != nil {
		return err
	}
	return total.summary()
}

// read feeds a tally with a source's lines. Those that are no events, such as
// the words of a go command that finds no package, are passed on.
func read(r io.Reader, total *tally) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil && e.Action != "" {
				total.add(e)
			} else {
				total.print(string(line))
			}
		}
		if err == io.EOF {
			total.endSource()
			return nil
		}
		if err != nil {
			return err
		}
	}
}
