package rundir

import (
	"maps"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestEnvIsReadBackByUsAndByAShell(t *testing.T) {
	dir, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"ONLINESMS_A": "plain", "ONLINESMS_B": "it's a \"quoted\" $HOME `word`", "ONLINESMS_C": ""}
	if err := dir.WriteEnv(want); err != nil {
		t.Fatal(err)
	}
	got, err := dir.ReadEnv()
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("read %v, %v; want %v", got, err, want)
	}
	out, err := exec.CommandContext(t.Context(), "/bin/sh", "-c", `. "$1"; printf %s "$ONLINESMS_B"`, "sh", dir.Path("env")).Output()
	if err != nil || string(out) != want["ONLINESMS_B"] {
		t.Errorf("a shell reads %q, %v", out, err)
	}
	if info, err := os.Stat(dir.Path("env")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of env: %v, %v; want 0600", info.Mode(), err)
	}
}

func TestTailAnswersTheLastLines(t *testing.T) {
	dir, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir.Log("x"), []byte("1\n2\n3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := dir.Tail("x", 2); got != "2\n3" {
		t.Errorf("tail %q, want the last two", got)
	}
	if got := dir.Tail("none", 2); !strings.Contains(got, "no log") {
		t.Errorf("tail of nothing: %q", got)
	}
}
