package launcher

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// The files are as cloud-init 22.4 (Debian 12) and 24.4 write them.
func TestJudgeCloudInit(t *testing.T) {
	for name, c := range map[string]struct {
		file, text string
		done       bool
		failed     string
	}{
		"done": {cloudResult, `{
 "v1": {
  "datasource": "DataSourceNoCloud [seed=/dev/vdb][dsmode=net]",
  "errors": []
 }
}`, true, ""},
		"failed":   {cloudResult, `{"v1": {"datasource": null, "errors": ["('scripts_user', RuntimeError('Runparts: 1 failures'))"]}}`, true, "Runparts"},
		"half":     {cloudResult, `{"v1": {"datas`, false, ""},
		"hostile":  {cloudResult, `{"v1": {"errors": 7}}`, false, ""},
		"disabled": {cloudDisabled, "", true, "not to run"},
		"under way": {cloudStatus, `{
 "v1": {
  "datasource": null,
  "init": {"errors": [], "finished": null, "start": 1796086604.2, "recoverable_errors": {}},
  "init-local": {"errors": [], "finished": 1796086603.1, "start": 1796086602.2},
  "stage": "init"
 }
}`, false, ""},
		"failed early": {cloudStatus, `{"v1": {"init": {"errors": ["second"]}, "init-local": {"errors": ["first"]}, "stage": "modules-config"}}`, true, "first; second"},
		"recovered":    {cloudStatus, `{"v1": {"init": {"errors": [], "recoverable_errors": {"WARNING": ["x"]}}}}`, false, ""},
	} {
		done, err := judgeCloudInit(c.file, []byte(c.text))
		final := (*finalError)(nil)
		if done != c.done || (err == nil) != (c.failed == "") || err != nil && (!strings.Contains(err.Error(), c.failed) || KindOf(err) != KindCloudInit || !errors.As(err, &final)) {
			t.Errorf("%s: %v, %v", name, done, err)
		}
	}
}

// The shell's look at a status takes the same files for failures.
func TestCloudScript(t *testing.T) {
	_, pattern, _ := strings.Cut(cloudScript, "grep -Eq '")
	pattern, _, _ = strings.Cut(pattern, "'")
	for text, want := range map[string]bool{
		`{"init": {"errors": [], "finished": null}}`:   false,
		"  \"errors\": [\n   \"x\"\n  ]":               true,
		`"errors": ["x"]`:                              true,
		`"recoverable_errors": {"WARNING": ["x"]}`:     false,
		"\"errors\": [],\n \"recoverable_errors\": {}": false,
	} {
		cmd := exec.Command("grep", "-Eq", pattern)
		cmd.Stdin = strings.NewReader(text)
		if got := cmd.Run() == nil; got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if out, err := exec.Command("sh", "-n", "-c", cloudScript).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
