package supervise

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/deploy/local/internal/proc"
	"github.com/onlinesms/onlinesms/deploy/local/internal/rundir"
)

const patience = 20 * time.Second

func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	deadline := time.After(patience)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !check() {
		select {
		case <-deadline:
			t.Fatalf("not within %v: %s", patience, what)
		case <-ticker.C:
		}
	}
}

func newSet(t *testing.T) (*Set, rundir.Dir) {
	t.Helper()
	dir, err := rundir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	set := New(dir, t.Logf)
	t.Cleanup(set.StopAll)
	return set, dir
}

func start(t *testing.T, set *Set, name, script string, grace time.Duration) *Child {
	t.Helper()
	child, err := set.Start(Process{Name: name, Path: "/bin/sh", Args: []string{"-c", script}, Env: os.Environ(),
		Stop: syscall.SIGTERM, Grace: grace})
	if err != nil {
		t.Fatal(err)
	}
	return child
}

func TestAKilledProcessIsStartedAgain(t *testing.T) {
	set, dir := newSet(t)
	child := start(t, set, "one", "echo hello; exec tail -f /dev/null", time.Second)
	pidOf := func() int { pid, _ := proc.ReadPid(dir.Pid("one")); return pid }
	eventually(t, "the process runs", func() bool { _, ok := proc.Find(pidOf()); return ok })
	first := pidOf()
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another process runs", func() bool { _, ok := proc.Find(pidOf()); return ok && pidOf() != first })
	if exits, last := child.Exits(); exits != 1 || !strings.Contains(last.Error(), "killed") {
		t.Errorf("exits %d, %v; want 1, killed", exits, last)
	}
	second := pidOf()
	set.StopAll()
	if _, ok := proc.Find(second); ok {
		t.Error("the process outlives StopAll")
	}
	if _, err := os.Stat(dir.Pid("one")); !os.IsNotExist(err) {
		t.Errorf("the pid file is still there: %v", err)
	}
	if log := dir.Tail("one", 5); strings.Count(log, "hello") != 2 {
		t.Errorf("log %q, want two greetings", log)
	}
}

func TestAProcessThatDoesNotStopIsKilledWithItsGroup(t *testing.T) {
	set, dir := newSet(t)
	start(t, set, "stubborn", `trap "" TERM; sleep 1000 & echo $!; wait; wait`, 200*time.Millisecond)
	var grandchild int
	eventually(t, "the script says its child's pid", func() bool {
		grandchild, _ = strconv.Atoi(strings.TrimSpace(dir.Tail("stubborn", 1)))
		return grandchild != 0
	})
	set.StopAll()
	eventually(t, "the grandchild is gone", func() bool { _, ok := proc.Find(grandchild); return !ok })
}

func TestProcessesStopInReverseOrder(t *testing.T) {
	set, dir := newSet(t)
	for _, name := range []string{"first", "second"} {
		start(t, set, name, `trap 'echo bye '"$(date +%s%N)"'; exit' TERM; echo up; while :; do sleep 0.05; done`, patience)
		eventually(t, name+" is up", func() bool { return strings.Contains(dir.Tail(name, 1), "up") })
	}
	set.StopAll()
	if info, err := os.Stat(dir.Log("first")); err == nil {
		other, err := os.Stat(dir.Log("second"))
		if err != nil || info.ModTime().Before(other.ModTime()) {
			t.Errorf("first stopped before second (%v)", err)
		}
	}
}
