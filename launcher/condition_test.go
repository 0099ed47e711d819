package launcher

import (
	"strings"
	"testing"
)

func TestParseCondition(t *testing.T) {
	for _, text := range []string{"none", "running", "net", "ssh", "agent", "cloud-init", "exit", "port:1", "port:65535", "console:login:", `console:^guest: (ready|up)$`} {
		if c, err := ParseCondition(text); err != nil || c.String() != text {
			t.Errorf("%s: %s, %v", text, c, err)
		}
	}
	for _, text := range []string{"", "Running", "running ", "console", "console:", "console:(", `console:\8`, "net,running",
		"port", "port:", "port:0", "port:65536", "port:-1", "port:http", "port:+80", "ssh:22"} {
		if c, err := ParseCondition(text); KindOf(err) != KindUsage {
			t.Errorf("%q: %s, %v; want a usage error", text, c, err)
		}
	}
	running, err := ParseCondition("running")
	if err != nil || !running.Is(WaitRunning) || running.Is(WaitNone) {
		t.Errorf("conditions are not compared by what they are: %v", err)
	}
}

func TestParseConditions(t *testing.T) {
	for texts, want := range map[string]Kind{
		"none": "", "net ssh exit": "", "net net": "",
		"none net": KindUsage, "net none": KindUsage, "none none": KindUsage, "net later": KindUsage,
	} {
		all, err := ParseConditions(strings.Fields(texts))
		if err != nil && KindOf(err) != want || err == nil && (want != "" || describe(all) != strings.ReplaceAll(texts, " ", " and ")) {
			t.Errorf("%s: %s, %v; want %q", texts, describe(all), err, want)
		}
	}
}
