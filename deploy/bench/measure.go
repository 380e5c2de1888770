package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/onlinesms/onlinesms/deploy/local/running"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
)

// runDirs is a real disk: with /tmp in memory an fsync would cost nothing.
const runDirs = "/var/tmp"

// bench is one run against one platform.
type bench struct {
	sizes   sizes
	client  *client
	books   *books
	usage   usage
	sent    int // so far, all phases
	figures Figures
}

// measure builds and starts the checkout repo, runs all phases and takes the platform down again.
func measure(ctx context.Context, repo string, sizes sizes) (_ *Figures, err error) {
	dir, err := os.MkdirTemp(runDirs, "onlinesms-bench-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL, another user, must pass
		return nil, err
	}
	say("building and starting %s in %s", repo, dir)
	platform, err := running.Start(ctx, running.Config{Repo: repo, Dir: dir, Log: os.Stderr})
	if err != nil {
		return nil, fmt.Errorf("%w (logs in %s/logs)", err, dir)
	}
	defer func() {
		stop := platform.Drop
		if err != nil { // keep the logs
			stop = platform.Stop
			say("logs are kept in %s/logs", dir)
		}
		err = errors.Join(err, stop(context.WithoutCancel(ctx)))
	}()
	b := &bench{sizes: sizes, usage: usage{platform}}
	if b.client, err = newClient(platform); err != nil {
		return nil, err
	}
	if b.books, err = openBooks(ctx, platform); err != nil {
		return nil, err
	}
	defer b.books.close(ctx)
	return &b.figures, b.phases(ctx, platform)
}

func (b *bench) phases(ctx context.Context, platform *running.Platform) error {
	if err := b.warmUp(ctx); err != nil {
		return fmt.Errorf("warm-up: %w", err)
	}
	if err := b.campaign(ctx); err != nil {
		return fmt.Errorf("campaign: %w", err)
	}
	if err := b.singles(ctx); err != nil {
		return fmt.Errorf("singles: %w", err)
	}
	if err := b.paced(ctx, platform); err != nil {
		return fmt.Errorf("paced: %w", err)
	}
	if err := b.contended(ctx); err != nil {
		return fmt.Errorf("contended: %w", err)
	}
	lost, duplicates, err := b.books.balance(ctx, b.sent)
	b.figures.Lost, b.figures.Duplicates, b.figures.Messages = lost, duplicates, b.sent
	return err
}

func (b *bench) warmUp(ctx context.Context) error {
	if err := b.books.promptReceipts(ctx); err != nil {
		return err
	}
	if err := b.client.batches(ctx, b.sizes.warmUp/batchSize*batchSize, batchesInFlight); err != nil {
		return err
	}
	if _, err := b.client.singles(ctx, 1000); err != nil {
		return err
	}
	b.sent += b.sizes.warmUp/batchSize*batchSize + 1000
	say("warm: %d messages", b.sent)
	return b.books.settled(ctx, b.sent)
}

// campaign measures throughput, processor time and memory.
func (b *bench) campaign(ctx context.Context) error {
	watched, done := context.WithCancel(ctx)
	peak := make(chan map[string]float64, 1)
	go func() { peak <- b.usage.watch(watched) }()
	defer done()
	before, err := b.usage.cpu()
	if err != nil {
		return err
	}
	start := time.Now()
	if err := b.client.batches(ctx, b.sizes.campaign, batchesInFlight); err != nil {
		return err
	}
	accepted := time.Since(start)
	b.sent += b.sizes.campaign
	if err := b.books.settled(ctx, b.sent); err != nil {
		return err
	}
	took := time.Since(start)
	after, err := b.usage.cpu()
	if err != nil {
		return err
	}
	done()
	b.figures.RSS = <-peak
	b.figures.E2EPerSecond = rounded(float64(b.sizes.campaign) / took.Seconds())
	b.figures.CPU = map[string]float64{}
	for name := range after {
		b.figures.CPU[name] = rounded(float64((after[name] - before[name]).Microseconds()) / float64(b.sizes.campaign))
	}
	say("campaign: %d accepted in %.1f s, through in %.1f s: %.0f/s", b.sizes.campaign, accepted.Seconds(), took.Seconds(), b.figures.E2EPerSecond)
	return nil
}

// singles measures unary sends through to the operator.
func (b *bench) singles(ctx context.Context) error {
	start := time.Now()
	latencies, err := b.client.singles(ctx, b.sizes.singles)
	if err != nil {
		return err
	}
	b.sent += b.sizes.singles
	if err := b.books.submitted(ctx, b.sent); err != nil {
		return err
	}
	b.figures.SinglesPerSecond = rounded(float64(b.sizes.singles) / time.Since(start).Seconds())
	b.figures.AcceptP50, b.figures.AcceptP99 = percentile(latencies, 0.50), percentile(latencies, 0.99)
	say("singles: %.0f/s, accept p50 %.1f ms, p99 %.1f ms", b.figures.SinglesPerSecond, b.figures.AcceptP50, b.figures.AcceptP99)
	return b.books.settled(ctx, b.sent)
}

// paced measures latency below saturation: 500 sends a second.
func (b *bench) paced(ctx context.Context, platform *running.Platform) error {
	feed, err := openFeed(ctx, platform)
	if err != nil {
		return fmt.Errorf("feed: %w", err)
	}
	defer feed.close()
	sent, err := b.client.pace(ctx, 500, b.sizes.paced)
	if err != nil {
		return err
	}
	b.sent += len(sent)
	heard, err := feed.latencies(ctx, sent)
	if err != nil {
		return err
	}
	b.figures.E2EP50, b.figures.E2EP99 = percentile(heard, 0.50), percentile(heard, 0.99)
	submits, err := b.client.acceptToSubmit(ctx, sent)
	if err != nil {
		return err
	}
	b.figures.SubmitP50, b.figures.SubmitP99 = percentile(submits, 0.50), percentile(submits, 0.99)
	say("paced: e2e p50 %.1f ms, p99 %.1f ms; accept to submit p50 %.1f ms, p99 %.1f ms",
		b.figures.E2EP50, b.figures.E2EP99, b.figures.SubmitP50, b.figures.SubmitP99)
	return b.books.settled(ctx, b.sent)
}

// contended measures OTPs while a campaign drains: 50 a second, from the campaign's first batch until its last submit.
func (b *bench) contended(ctx context.Context) error {
	drained, stop := context.WithCancel(ctx)
	type outcome struct {
		sent map[string]time.Time
		err  error
	}
	otps := make(chan outcome, 1)
	go func() {
		sent, err := b.client.paceUntil(drained, 50)
		otps <- outcome{sent, err}
	}()
	err := b.client.batches(ctx, b.sizes.contended, batchesInFlight)
	if err == nil {
		err = b.books.submitted(ctx, b.sent+b.sizes.contended)
	}
	stop()
	got := <-otps
	if err = errors.Join(err, got.err); err != nil {
		return err
	}
	b.sent += b.sizes.contended + len(got.sent)
	if err := b.books.settled(ctx, b.sent); err != nil {
		return err
	}
	submits, err := b.client.acceptToSubmit(ctx, got.sent)
	if err != nil {
		return err
	}
	b.figures.OTPP99 = percentile(submits, 0.99)
	say("contended: %d OTPs during %d messages, accept to submit p99 %.1f ms", len(got.sent), b.sizes.contended, b.figures.OTPP99)
	return nil
}

// acceptToSubmit reads the messages' timelines.
func (c *client) acceptToSubmit(ctx context.Context, sent map[string]time.Time) ([]time.Duration, error) {
	ids := make([]string, 0, len(sent))
	for id := range sent {
		ids = append(ids, id)
	}
	all := make([]time.Duration, len(ids))
	err := spread(ctx, len(ids), 32, func(ctx context.Context, i int) error {
		got, err := c.services[i%connections].GetMessage(ctx, &ingestv1.GetMessageRequest{MessageId: ids[i]})
		if err != nil {
			return err
		}
		at := map[string]time.Time{}
		for _, entry := range got.GetTimeline() {
			at[entry.GetEvent()] = entry.GetTime().AsTime()
		}
		if at["SUBMITTED"].IsZero() || at["ACCEPTED"].IsZero() {
			return fmt.Errorf("message %s has no ACCEPTED or SUBMITTED in its timeline", ids[i])
		}
		all[i] = at["SUBMITTED"].Sub(at["ACCEPTED"])
		return nil
	})
	return all, err
}
