package eventbus

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

const (
	rawWithin   = 5 * time.Second
	rawInFlight = 64
)

// Raw is a finished event for an outside stream.
type Raw struct {
	Subject string
	ID      string // Nats-Msg-Id: the same id within two minutes is stored once
	Data    []byte
}

// PublishRawBatch stores events of the FEED stream, up to 64 at a time, and waits for all PubAcks, at most five
// seconds. On an error (errs.Unavailable) some may have been stored: publish all again with the same ids.
func (b *Bus) PublishRawBatch(ctx context.Context, batch []Raw) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(rawInFlight)
	for _, raw := range batch {
		group.Go(func() error {
			return b.publish(ctx, b.message(raw.Subject, raw.ID, raw.Data), rawWithin)
		})
	}
	if err := group.Wait(); err != nil {
		return errs.E(errs.Unavailable, "NATS_AWAY", "events could not be stored", err)
	}
	return nil
}
