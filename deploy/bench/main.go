package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	repo, err := filepath.Abs(".")
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(repo, "go.work")); err != nil {
		return fmt.Errorf("run it by `make bench` at the root of the checkout")
	}
	sizes, err := sizesOf(cmp.Or(os.Getenv("BENCH_MESSAGES"), "200000"))
	if err != nil {
		return err
	}
	var result any
	if base := os.Getenv("BASE"); base != "" {
		result, err = compare(ctx, repo, base, sizes)
	} else {
		result, err = measure(ctx, repo, sizes)
	}
	if err != nil {
		return err
	}
	line, err := json.Marshal(result)
	if err != nil {
		return err
	}
	fmt.Println(string(line))
	if figures, ok := result.(*Figures); ok && (figures.Lost != 0 || figures.Duplicates != 0) {
		return fmt.Errorf("%d lost, %d duplicates", figures.Lost, figures.Duplicates)
	}
	return nil
}

// sizes are the messages of each phase.
type sizes struct {
	warmUp, campaign, singles, contended int
	paced                                time.Duration
}

func sizesOf(word string) (sizes, error) {
	n, err := strconv.Atoi(word)
	if err != nil || n < 1000 {
		return sizes{}, fmt.Errorf("BENCH_MESSAGES is a number of at least 1000")
	}
	n -= n % batchSize
	return sizes{warmUp: max(1000, n/20), campaign: n, singles: max(1000, n/4), contended: max(1000, n/2),
		paced: min(10*time.Second, time.Duration(n)*50*time.Microsecond)}, nil
}

var began = time.Now()

// say writes a line of progress.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1fs  "+format+"\n", append([]any{time.Since(began).Seconds()}, args...)...)
}
