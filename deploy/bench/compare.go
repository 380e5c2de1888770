package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// runsOfEach are interleaved, so that a change of the machine's mood meets both.
const runsOfEach = 3

// compare measures this checkout and a git ref by turns, and answers the medians of this one with the base's and the
// ratios (this checkout / base).
func compare(ctx context.Context, repo, ref string, sizes sizes) (_ map[string]any, err error) {
	tree, err := os.MkdirTemp(runDirs, "onlinesms-base-")
	if err != nil {
		return nil, err
	}
	tree = filepath.Join(tree, "tree")
	if err := git(ctx, repo, "worktree", "add", "--detach", tree, ref); err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, git(context.WithoutCancel(ctx), repo, "worktree", "remove", "--force", tree), os.RemoveAll(filepath.Dir(tree)))
	}()
	var ours, theirs []map[string]float64
	for i := range runsOfEach {
		say("run %d of %d", i+1, runsOfEach)
		for _, side := range []struct {
			repo string
			runs *[]map[string]float64
		}{{tree, &theirs}, {repo, &ours}} {
			figures, err := measure(ctx, side.repo, sizes)
			if err == nil && figures.Lost+figures.Duplicates != 0 {
				err = fmt.Errorf("%d lost, %d duplicates", figures.Lost, figures.Duplicates)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", side.repo, err)
			}
			flat, err := flatten(figures)
			if err != nil {
				return nil, err
			}
			*side.runs = append(*side.runs, flat)
		}
	}
	return report(ref, ours, theirs), nil
}

func git(ctx context.Context, repo string, args ...string) error {
	out, err := exec.CommandContext(ctx, "git", append([]string{"-C", repo}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("git %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// flatten names every figure; those by process are joined with a dot.
func flatten(figures *Figures) (map[string]float64, error) {
	data, err := json.Marshal(figures)
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	if err := json.Unmarshal(data, &tree); err != nil {
		return nil, err
	}
	flat := map[string]float64{}
	for name, value := range tree {
		switch value := value.(type) {
		case float64:
			flat[name] = value
		case map[string]any:
			for process, figure := range value {
				flat[name+"."+process], _ = figure.(float64) // Figures holds nothing else
			}
		}
	}
	return flat, nil
}

// report has the shape of a single run, from the medians, and adds base and ratio.
func report(ref string, ours, theirs []map[string]float64) map[string]any {
	result, base, ratio := map[string]any{}, map[string]float64{}, map[string]float64{}
	for name := range ours[0] {
		own, other := median(ours, name), median(theirs, name)
		base[name] = other
		if other != 0 {
			ratio[name] = rounded(own / other)
		}
		group, process, nested := strings.Cut(name, ".")
		if !nested {
			result[name] = own
			continue
		}
		by, ok := result[group].(map[string]float64)
		if !ok {
			by = map[string]float64{}
			result[group] = by
		}
		by[process] = own
	}
	result["base_ref"], result["base"], result["ratio"] = ref, base, ratio
	return result
}

func median(runs []map[string]float64, name string) float64 {
	var values []float64
	for _, run := range runs {
		values = append(values, run[name])
	}
	slices.Sort(values)
	return values[len(values)/2]
}
