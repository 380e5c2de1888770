package eventbus

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// tendEvery bounds how long a lost stream stays lost and how far a stream can fill between two purges: at 50 MB/s a
// lane of 100 MiB goes from half to full in one second, and then DiscardNew slows the producer down.
const tendEvery = 2 * time.Second

// RunPurge keeps the own streams until ctx ends: every two seconds, and at once after a reconnect, it re-creates
// streams and durables that a rebuilt server has lost, and purges each stream that is above half of its MaxBytes to
// the lowest floor of its durables. Several replicas may run it. It returns nil.
func (b *Bus) RunPurge(ctx context.Context) error {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-b.nudged:
			b.recheck(ctx)
		}
		if b.conn.IsConnected() {
			b.tend(ctx)
		}
	}
}

// recheck looks at the durability of a server that was reconnected to: it may be another one. A silent monitoring
// port proves nothing, so only an answer counts.
func (b *Bus) recheck(ctx context.Context) {
	b.mu.Lock()
	owner := len(b.owned) > 0
	b.mu.Unlock()
	if !owner {
		return // Own has its own loop
	}
	if err := b.confirmSync(ctx); err != nil {
		b.log.Error("durability of NATS is in doubt", slog.Any("error", err))
	}
}

func (b *Bus) tend(ctx context.Context) {
	b.mu.Lock()
	owned := slices.Clone(b.owned)
	b.mu.Unlock()
	for _, s := range owned {
		if err := b.tendStream(ctx, s); err != nil && ctx.Err() == nil {
			b.log.Warn("stream not tended", slog.String("stream", s.Name), slog.Any("error", err))
		}
	}
}

// tendStream re-creates what is missing and purges what every durable has done with.
func (b *Bus) tendStream(ctx context.Context, s Stream) error {
	stream, err := b.js.Stream(ctx, s.Name)
	if absent(err) {
		b.log.Warn("stream was lost and is made again", slog.String("stream", s.Name))
		return b.ensure(ctx, s)
	}
	if err != nil {
		return err
	}
	info := stream.CachedInfo()
	floor := info.State.LastSeq
	for _, d := range s.Durables {
		consumer, err := stream.Consumer(ctx, d.Name)
		if absent(err) {
			b.log.Warn("durable was lost and is made again", slog.String("stream", s.Name), slog.String("durable", d.Name))
			return b.ensure(ctx, s)
		}
		if err != nil {
			return err
		}
		floor = min(floor, doneUntil(consumer.CachedInfo(), info.State.LastSeq))
	}
	if !purgeable(info, floor) || len(s.Durables) == 0 {
		return nil // without durables nobody says what is done: MaxAge and DiscardOld rule
	}
	return stream.Purge(ctx, jetstream.WithPurgeSequence(floor+1))
}

// doneUntil is the sequence up to which a durable needs nothing any more. last must have been read before info. A
// durable with filters acknowledges only what matches: when nothing is pending, everything up to last is behind it,
// though its ack floor may stand far back.
func doneUntil(info *jetstream.ConsumerInfo, last uint64) uint64 {
	if info.NumPending == 0 && info.NumAckPending == 0 {
		return last
	}
	return info.AckFloor.Stream
}

// purgeable: above half of MaxBytes, and something is there to purge.
func purgeable(info *jetstream.StreamInfo, floor uint64) bool {
	return info.Config.MaxBytes > 0 && info.State.Bytes > uint64(info.Config.MaxBytes)/2 && floor >= info.State.FirstSeq &&
		info.State.Msgs > 0
}
