package stats

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// family is one metric: its name, type and meaning, and its samples of a VM. kinds and
// names follow the conventions (prometheus.io/docs/practices/naming) and, where there is
// a like, node_exporter's.
type family struct {
	name, kind, help string
	of               func(vm VM, add add)
}

// add adds a sample with further labels, as pairs of a name and a value.
type add func(value float64, labels ...string)

const (
	counter = "counter"
	gauge   = "gauge"
)

// WritePrometheus writes the VMs' figures in Prometheus's text format, version 0.0.4
// (prometheus.io/docs/instrumenting/exposition_formats), in one piece.
func WritePrometheus(w io.Writer, vms []VM) error {
	var b bytes.Buffer
	head(&b, family{name: "kvmrun_vms", kind: gauge, help: "VMs that these figures are of."})
	fmt.Fprintf(&b, "kvmrun_vms %d\n", len(vms))
	for _, f := range families {
		some := false
		for _, vm := range vms {
			f.of(vm, func(value float64, labels ...string) {
				if !some {
					head(&b, f)
					some = true
				}
				sample(&b, f.name, value, append([]string{"vm", vm.Name}, labels...))
			})
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

func head(b *bytes.Buffer, f family) {
	fmt.Fprintf(b, "# HELP %s %s\n# TYPE %s %s\n", f.name, f.help, f.name, f.kind)
}

// sample writes one line. A label's value may be any text.
func sample(b *bytes.Buffer, name string, value float64, labels []string) {
	separator := name + "{"
	for i := 0; i < len(labels); i += 2 {
		fmt.Fprintf(b, `%s%s="%s"`, separator, labels[i], escapeLabel.Replace(strings.ToValidUTF8(labels[i+1], "\ufffd")))
		separator = ","
	}
	b.WriteString("} " + strconv.FormatFloat(value, 'f', -1, 64) + "\n")
}

var escapeLabel = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func btoi(is bool) int {
	if is {
		return 1
	}
	return 0
}
