package platform

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/onlinesms/onlinesms/deploy/local/internal/supervise"
)

const (
	pollEvery = 50 * time.Millisecond
	// A process that ended this often before it was ready will not get better by itself.
	exitsBeforeReady = 3
	readyWithin      = 60 * time.Second
)

// until polls check until it succeeds, the child gives up, or the time is over.
func until(ctx context.Context, process string, child *supervise.Child, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	var err error
	for {
		switch now := check(ctx); {
		case now == nil:
			return nil
		case ctx.Err() == nil || err == nil: // at the end the last answer tells more than "deadline exceeded"
			err = now
		}
		if exits, last := child.Exits(); exits >= exitsBeforeReady {
			return &Failure{Process: process, Err: fmt.Errorf("%s ended %d times (%w)", process, exits, last),
				Remedy: "the log says why; `make reset` starts with fresh data"}
		}
		select {
		case <-ctx.Done():
			return &Failure{Process: process, Err: fmt.Errorf("%s is not ready: %w", process, err),
				Remedy: "the log says what it waits for"}
		case <-ticker.C:
		}
	}
}

// answers reports whether an HTTP address answers 200.
func answers(client *http.Client, url string) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return nil
		}
		body, _ := io.ReadAll(io.LimitReader(response.Body, 300)) // only for the error's text
		return fmt.Errorf("%s answers %s: %s", url, response.Status, strings.TrimSpace(string(body)))
	}
}
