package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/onlinesms/onlinesms/deploy/local/running"
)

// ticksPerSecond is USER_HZ: 100 on every Linux that Go supports (proc(5), sysconf(_SC_CLK_TCK)).
const ticksPerSecond = 100

// usage looks at the processes of a platform through /proc. A process's children count as it (PostgreSQL's backends).
type usage struct{ platform *running.Platform }

// cpu answers the processor time so far, by process; ended children are in their parents' figures.
func (u usage) cpu() (map[string]time.Duration, error) {
	used := map[string]time.Duration{}
	err := u.visit(func(name string, pid int) {
		ticks := int64(0)
		for _, field := range statFields(pid, 11, 15) { // utime, stime, cutime, cstime
			ticks += field
		}
		used[name] += time.Duration(ticks) * time.Second / ticksPerSecond
	})
	return used, err
}

// memory answers resident MiB by process. Pages that backends share are counted once: the largest share stands for all.
func (u usage) memory() (map[string]float64, error) {
	private, shared := map[string]int64{}, map[string]int64{}
	err := u.visit(func(name string, pid int) {
		kib := statusKiB(pid)
		private[name] += kib["RssAnon"]
		shared[name] = max(shared[name], kib["RssFile"]+kib["RssShmem"])
	})
	used := map[string]float64{}
	for name := range private {
		used[name] = float64(private[name]+shared[name]) / 1024
	}
	return used, err
}

// visit calls seen for every process of the platform and its descendants, and for this program.
func (u usage) visit(seen func(name string, pid int)) error {
	names, err := u.platform.Processes()
	if err != nil {
		return err
	}
	children := childrenOf()
	for _, name := range names {
		if name == "local" { // the supervisor only waits, and is everybody's parent
			continue
		}
		for queue := []int{u.platform.Pid(name)}; len(queue) > 0; queue = queue[1:] {
			seen(name, queue[0])
			queue = append(queue, children[queue[0]]...)
		}
	}
	seen("bench", os.Getpid())
	return nil
}

func childrenOf() map[int][]int {
	children := map[int][]int{}
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well formed
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if parent := statFields(pid, 1, 2); err == nil && len(parent) == 1 {
			children[int(parent[0])] = append(children[int(parent[0])], pid)
		}
	}
	return children
}

// statFields answers fields of /proc/<pid>/stat, counted from the one after the name; none when the process is gone.
func statFields(pid, from, to int) []int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) < to {
		return nil
	}
	var values []int64
	for _, field := range fields[from:to] {
		value, _ := strconv.ParseInt(field, 10, 64) // the kernel writes numbers
		values = append(values, value)
	}
	return values
}

func statusKiB(pid int) map[string]int64 {
	kib := map[string]int64{}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return kib
	}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.HasPrefix(name, "Rss") {
			kib[name], _ = strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64) // the kernel writes numbers
		}
	}
	return kib
}

// watch samples memory until ctx ends and keeps the highest.
func (u usage) watch(ctx context.Context) map[string]float64 {
	peak := map[string]float64{}
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for {
		now, err := u.memory()
		if err == nil {
			for name, mib := range now {
				peak[name] = max(peak[name], rounded(mib))
			}
		}
		select {
		case <-ctx.Done():
			return peak
		case <-ticker.C:
		}
	}
}
