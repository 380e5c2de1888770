package service

import (
	"os"
	"os/exec"
	"regexp"
	"testing"
)

func TestNoCoreDumps(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "status")
	cmd.Env = append(os.Environ(), "SERVICE_TEST_MAIN=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !regexp.MustCompile(`Max core file size\s+0\s+0\s`).Match(out) {
		t.Errorf("core dumps are allowed:\n%s", out)
	}
}
