package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/onlinesms/onlinesms/deploy/local/running"
	feedv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/feed/v1"
)

// feed reads the tenant's FEED stream, as a tenant's program would, and notes when it hears of each delivery.
type feed struct {
	conn    *nats.Conn
	reading jetstream.ConsumeContext

	mu    sync.Mutex
	heard map[string]time.Time // by message id
}

// openFeed begins with what happens from now on.
func openFeed(ctx context.Context, p *running.Platform) (*feed, error) {
	options := []nats.Option{nats.UserCredentials(p.Env("ONLINESMS_NATS_CREDS")), nats.CustomInboxPrefix(p.Env("ONLINESMS_NATS_INBOX_PREFIX"))}
	if strings.HasPrefix(p.Env("ONLINESMS_NATS_URL"), "tls://") { // a commit to compare with may speak in clear still
		options = append(options, nats.RootCAs(p.Env("ONLINESMS_CA_FILE")))
	}
	conn, err := nats.Connect(p.Env("ONLINESMS_NATS_URL"), options...)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	consumer, err := js.CreateOrUpdateConsumer(ctx, "FEED", jetstream.ConsumerConfig{
		Durable: p.Env("ONLINESMS_NATS_CONSUMER"), FilterSubject: p.Env("ONLINESMS_NATS_FILTER"),
		AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverNewPolicy,
	})
	if err != nil {
		return nil, err
	}
	f := &feed{conn: conn, heard: map[string]time.Time{}}
	f.reading, err = consumer.Consume(f.hear)
	return f, err
}

func (f *feed) hear(msg jetstream.Msg) {
	if !strings.HasPrefix(msg.Subject(), "onlinesms.feed.v1.MessagesDelivered.") {
		return
	}
	now := time.Now()
	var event feedv1.MessagesDelivered
	if err := proto.Unmarshal(msg.Data(), &event); err != nil {
		return // its messages will be missed below
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, news := range event.GetMessages() {
		f.heard[news.GetMessageId()] = now
	}
}

// latencies answers how long after its send each message was heard of, once all have been.
func (f *feed) latencies(ctx context.Context, sent map[string]time.Time) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		if all := f.match(sent); len(all) == len(sent) {
			return all, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.New("the feed does not tell of every delivery")
		case <-ticker.C:
		}
	}
}

func (f *feed) match(sent map[string]time.Time) []time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []time.Duration
	for id, at := range sent {
		if heard, ok := f.heard[id]; ok {
			all = append(all, heard.Sub(at))
		}
	}
	return all
}

func (f *feed) close() {
	f.reading.Stop()
	f.conn.Close()
}
