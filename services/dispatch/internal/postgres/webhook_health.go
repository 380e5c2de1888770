package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/webhook"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// Events that tell of endpoints; audit records them.
const (
	eventFailing  = "onlinesms.dispatch.v1.WebhookEndpointsFailing"
	eventDisabled = "onlinesms.dispatch.v1.WebhookEndpointsDisabled"
)

// Fails implements webhook.Health.
func (w *Webhooks) Fails(ctx context.Context, id uuid.UUID, since time.Time) error {
	return w.fare(ctx, id, func(e *webhook.Endpoint) (string, bool) {
		if !e.FailingSince.IsZero() {
			return "", false
		}
		e.FailingSince = since
		return "", true
	})
}

// Works implements webhook.Health.
func (w *Webhooks) Works(ctx context.Context, id uuid.UUID) error {
	return w.fare(ctx, id, func(e *webhook.Endpoint) (string, bool) {
		changed := !e.FailingSince.IsZero()
		e.FailingSince, e.Warned = time.Time{}, false
		return "", changed
	})
}

// Warn implements webhook.Health.
func (w *Webhooks) Warn(ctx context.Context, id uuid.UUID) error {
	return w.fare(ctx, id, func(e *webhook.Endpoint) (string, bool) {
		if e.Warned || e.FailingSince.IsZero() {
			return "", false
		}
		e.Warned = true
		return eventFailing, true
	})
}

// Disable implements webhook.Health.
func (w *Webhooks) Disable(ctx context.Context, id uuid.UUID, reason string) error {
	return w.fare(ctx, id, func(e *webhook.Endpoint) (string, bool) {
		if e.Status != webhook.Active {
			return "", false
		}
		e.Status, e.DisableReason = webhook.Disabled, reason
		return eventDisabled, true
	})
}

// fare changes an endpoint under its row's lock and tells of it, where change names an event, in the same transaction.
// One that is gone is left alone.
func (w *Webhooks) fare(ctx context.Context, id uuid.UUID, change func(*webhook.Endpoint) (event string, changed bool)) error {
	var told []eventbus.Parcel
	err := postgres.InTx(ctx, w.db.Worker, func(tx pgx.Tx) error {
		told = nil
		rows, err := tx.Query(ctx, `SELECT `+endpointColumns+` FROM webhook_endpoints WHERE endpoint_id = $1 FOR UPDATE`, id)
		if err != nil {
			return err
		}
		e, err := pgx.CollectExactlyOneRow(rows, scanEndpoint)
		if err != nil {
			return err
		}
		event, changed := change(&e)
		if !changed {
			return nil
		}
		if event != "" {
			p, err := w.notice(&e, event)
			if err != nil {
				return err
			}
			told = append(told, p)
		}
		if err := outbox.Append(ctx, tx, told...); err != nil {
			return err
		}
		return save(ctx, tx, &e)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err == nil && len(told) > 0 {
		w.publish(told...)
	}
	return err
}

// notice is a parcel of control that tells of an endpoint.
func (w *Webhooks) notice(e *webhook.Endpoint, event string) (eventbus.Parcel, error) {
	id := w.newID()
	n := &dispatchv1.WebhookEndpointNotice{EndpointId: e.ID[:], TimeUs: w.now().UnixMicro(), Reason: webhook.Failing}
	if e.Status == webhook.Disabled {
		n.Reason = e.DisableReason
	}
	if !e.FailingSince.IsZero() {
		n.FailingSinceUs = e.FailingSince.UnixMicro()
	}
	payload, err := proto.Marshal(&dispatchv1.WebhookEndpointParcel{
		ParcelId: id[:], TenantId: e.Tenant[:], CorrelationId: id[:], Notices: []*dispatchv1.WebhookEndpointNotice{n},
	})
	return eventbus.Parcel{
		ID: id, Tenant: e.Tenant, Subject: eventbus.Subject(event, e.Env, eventbus.LaneControl), Entries: 1, Payload: payload,
	}, err
}
