package eventbus

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// Limits of streams and durables (design section 5).
const (
	maxAge          = 72 * time.Hour
	duplicateWindow = 2 * time.Minute
	maxEventBytes   = 1 << 20
	minStreamBytes  = 16 << 20 // less cannot hold two flushes of every lane while a consumer restarts
	defaultBudget   = 1 << 30
	ackWait         = 30 * time.Second
	maxAckPending   = 256 // events, well above any pull batch (nats-server issue 8500)
)

// Stream is one stream of the service that produces its subjects. Its owner creates it together with its core
// durables; every durable listed holds the purge back until it has acknowledged. One without durables drops its oldest
// events when it is full.
type Stream struct {
	Name     string
	Subjects []string
	Share    float64 // of Config.StreamBytes, 0..1; 0: an equal share of the streams given to Own
	Durables []Durable
}

// Durable is a work consumer of a stream: pull, explicit acks, delivered without limit.
type Durable struct {
	Name    string
	Filters []string      // subjects; empty: all of the stream
	AckWait time.Duration // 0: 30 s; an event whose handler is at work is kept alive beyond it
}

// StreamName is `<SERVICE>_<LANE>`, for example INGEST_OTP.
func StreamName(service, lane string) string {
	return strings.ToUpper(service) + "_" + strings.ToUpper(lane)
}

// ServiceStreams lists a service's streams: one a message lane, and <SERVICE>_CONTROL. durables names the durables by
// lane; one with filters is written `name=subject,subject`, for example
// `dispatch=onlinesms.compliance.v1.MessagesCleared.*.otp`. Shares are 0.2, 0.3, 0.4 and 0.1 of the budget.
func ServiceStreams(service string, durables map[string][]string) []Stream {
	shares := map[string]float64{LaneOTP: 0.2, LaneInteractive: 0.3, LaneBulk: 0.4, LaneControl: 0.1}
	var streams []Stream
	for _, lane := range []string{LaneOTP, LaneInteractive, LaneBulk, LaneControl} {
		s := Stream{Name: StreamName(service, lane), Share: shares[lane],
			Subjects: []string{"onlinesms." + service + ".v1.*.*." + lane}}
		for _, durable := range durables[lane] {
			s.Durables = append(s.Durables, parseDurable(durable))
		}
		streams = append(streams, s)
	}
	return streams
}

func parseDurable(s string) Durable {
	name, filters, ok := strings.Cut(s, "=")
	if !ok {
		return Durable{Name: name}
	}
	return Durable{Name: name, Filters: strings.Split(filters, ",")}
}

// Own makes the service's streams and their durables exist. It waits, until ctx ends, for NATS and for its monitoring
// to show sync_always: before that Ready fails and Publisher sends nothing. It may be called by any number of replicas
// and again at any time; a stream is never shrunk below what it holds. RunPurge keeps what Own made.
func (b *Bus) Own(ctx context.Context, streams []Stream) error {
	if b.cfg.MonitorURL == "" {
		return errs.E(errs.Invalid, "NATS_SETTINGS", "NATS_MONITOR_URL is not set: durability cannot be checked", nil)
	}
	for try := 0; ; try++ {
		err := b.confirmSync(ctx)
		if err == nil {
			err = b.ensureAll(ctx, streams)
		}
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		b.log.Warn("waiting for NATS", slog.Int("try", try), slog.Any("error", err))
		if !service.Pause(ctx, backoff(try, 100*time.Millisecond, 5*time.Second)) {
			return ctx.Err()
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.owned = append(b.owned, b.shared(streams)...)
	return nil
}

func (b *Bus) ensureAll(ctx context.Context, streams []Stream) error {
	for _, s := range b.shared(streams) {
		if err := b.ensure(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// shared fills in equal shares where none is given.
func (b *Bus) shared(streams []Stream) []Stream {
	streams = slices.Clone(streams)
	for i := range streams {
		if streams[i].Share <= 0 {
			streams[i].Share = 1 / float64(len(streams))
		}
	}
	return streams
}

// ensure makes one stream and its durables be as listed.
func (b *Bus) ensure(ctx context.Context, s Stream) error {
	want := b.streamConfig(s)
	stream, err := b.js.Stream(ctx, s.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		stream, err = b.js.CreateStream(ctx, want)
	case err == nil:
		info := stream.CachedInfo()
		want.MaxBytes = max(want.MaxBytes, int64(info.State.Bytes))
		if !sameStream(info.Config, want) {
			stream, err = b.js.UpdateStream(ctx, want)
		}
	}
	if err != nil {
		return err
	}
	for _, d := range s.Durables {
		if _, err := stream.CreateOrUpdateConsumer(ctx, durableConfig(d)); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bus) streamConfig(s Stream) jetstream.StreamConfig {
	budget := b.cfg.StreamBytes
	if budget <= 0 {
		budget = defaultBudget
	}
	discard := jetstream.DiscardNew // refusal is back-pressure; dropping the oldest would be loss
	if len(s.Durables) == 0 {
		discard = jetstream.DiscardOld // read by outsiders only (FEED): who does not read must not hold us up
	}
	return jetstream.StreamConfig{
		Name:        s.Name,
		Subjects:    s.Subjects,
		Storage:     jetstream.FileStorage,
		Retention:   jetstream.LimitsPolicy, // WorkQueue costs an fsync per ack
		Discard:     discard,
		MaxAge:      maxAge,
		MaxBytes:    max(minStreamBytes, int64(float64(budget)*s.Share)),
		MaxMsgSize:  maxEventBytes,
		MaxMsgs:     -1,
		Replicas:    max(1, b.cfg.Replicas),
		Duplicates:  duplicateWindow,
		DenyDelete:  true,
		AllowDirect: false, // a follower's answer may be stale
	}
}

func durableConfig(d Durable) jetstream.ConsumerConfig {
	wait := d.AckWait
	if wait <= 0 {
		wait = ackWait
	}
	return jetstream.ConsumerConfig{
		Durable:        d.Name,
		AckPolicy:      jetstream.AckExplicitPolicy,
		AckWait:        wait,
		MaxDeliver:     -1, // a limit would skip accepted messages silently; poison is decided in judge
		MaxAckPending:  maxAckPending,
		FilterSubjects: d.Filters,
		DeliverPolicy:  jetstream.DeliverAllPolicy,
	}
}

// sameStream compares what ensure sets, so that an update is sent only for a change.
func sameStream(have, want jetstream.StreamConfig) bool {
	return slices.Equal(have.Subjects, want.Subjects) && have.MaxAge == want.MaxAge && have.MaxBytes == want.MaxBytes &&
		have.MaxMsgSize == want.MaxMsgSize && have.Replicas == want.Replicas && have.Duplicates == want.Duplicates &&
		have.Discard == want.Discard && have.Retention == want.Retention && have.DenyDelete == want.DenyDelete &&
		have.AllowDirect == want.AllowDirect
}
