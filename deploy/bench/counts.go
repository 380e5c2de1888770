package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/deploy/local/running"
)

// settleWithin bounds the wait for the last receipt and audit entry after the last accept.
const settleWithin = 3 * time.Minute

// books are the three accounts that must agree: the operator's, ingest's, audit's.
type books struct {
	simulator     string // base URL
	ingest, audit *pgx.Conn
}

func openBooks(ctx context.Context, p *running.Platform) (*books, error) {
	b := &books{simulator: strings.TrimSuffix(p.Env("ONLINESMS_SMSC_STATS_URL"), "/stats")}
	for database, conn := range map[string]**pgx.Conn{"ingest": &b.ingest, "audit": &b.audit} {
		address, err := url.Parse(p.Env("ONLINESMS_POSTGRES_URL"))
		if err != nil {
			return nil, err
		}
		address.Path = "/" + database
		if *conn, err = pgx.Connect(ctx, address.String()); err != nil {
			return nil, fmt.Errorf("database %s: %w", database, err)
		}
	}
	return b, nil
}

func (b *books) close(ctx context.Context) {
	for _, conn := range []*pgx.Conn{b.ingest, b.audit} {
		_ = conn.Close(ctx) // read only: nothing can be lost
	}
}

// operator is what the simulator counts.
type operator struct {
	Totals struct {
		Submits uint64
	}
	Duplicates uint64
	Receipts   struct {
		Acknowledged uint64
	}
}

func (b *books) operator(ctx context.Context) (operator, error) {
	var now operator
	return now, b.ask(ctx, http.MethodGet, "/stats", nil, &now)
}

// promptReceipts makes the simulator send receipts at once: what is measured is us.
func (b *books) promptReceipts(ctx context.Context) error {
	return b.ask(ctx, http.MethodPut, "/knobs", []byte(`{"receipt_delay_ms": 0}`), &struct{}{})
}

func (b *books) ask(ctx context.Context, method, path string, body []byte, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, b.simulator+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("simulator: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("simulator: %s %s answers %s", method, path, response.Status)
	}
	return json.NewDecoder(response.Body).Decode(into)
}

// delivered counts the messages ingest holds as DELIVERED (type.v1.MessageState 80), and all.
func (b *books) delivered(ctx context.Context) (delivered, all int, err error) {
	// 1 << 40 is the set of states {DELIVERED}: most parcels are wholly delivered, and only the others are looked into.
	err = b.ingest.QueryRow(ctx, `SELECT coalesce(sum(messages) FILTER (WHERE states = 1::bigint << 40), 0)
			+ (SELECT count(*) FROM message_states WHERE state = 80 AND parcel_states <> 1::bigint << 40),
		coalesce(sum(messages), 0) FROM accepted_parcels`).Scan(&delivered, &all)
	return delivered, all, err
}

// audited counts the messages of which audit holds an entry of the given event.
func (b *books) audited(ctx context.Context, event string) (n int, err error) {
	err = b.audit.QueryRow(ctx, "SELECT coalesce(sum(messages), 0) FROM entries WHERE action = $1", event).Scan(&n)
	return n, err
}

// submitted waits until the operator has total messages in all.
func (b *books) submitted(ctx context.Context, total int) error {
	return b.poll(ctx, func() (bool, string, error) {
		now, err := b.operator(ctx)
		return int(now.Totals.Submits) >= total, fmt.Sprintf("operator has %d of %d", now.Totals.Submits, total), err
	})
}

// settled waits until total messages in all are delivered, stored as that, and audited. The cheap book is asked first.
func (b *books) settled(ctx context.Context, total int) error {
	if err := b.poll(ctx, func() (bool, string, error) {
		now, err := b.operator(ctx)
		return int(now.Receipts.Acknowledged) >= total, fmt.Sprintf("%d of %d receipts", now.Receipts.Acknowledged, total), err
	}); err != nil {
		return err
	}
	return b.poll(ctx, func() (bool, string, error) {
		stored, _, err := b.delivered(ctx)
		if err != nil || stored < total {
			return false, fmt.Sprintf("%d of %d stored as delivered", stored, total), err
		}
		for _, event := range booked { // streams of their own: the last may be told of before the first
			if audited, err := b.audited(ctx, event); err != nil || audited < total {
				return false, fmt.Sprintf("%d of %d %s audited", audited, total, event), err
			}
		}
		return true, "", nil
	})
}

// booked are the events that every message has one of.
var booked = []string{"onlinesms.ingest.v1.MessagesAccepted", "onlinesms.compliance.v1.MessagesCleared",
	"onlinesms.dispatch.v1.MessagesSubmitted", "onlinesms.dispatch.v1.MessagesDelivered"}

// poll asks until it is done; the bound is a failure only when nothing moves any more.
func (b *books) poll(ctx context.Context, ask func() (done bool, where string, err error)) error {
	ticker := time.NewTicker(25 * time.Millisecond)
	defer ticker.Stop()
	last, since := "", time.Now()
	for {
		done, where, err := ask()
		if err != nil || done {
			return err
		}
		if where != last {
			last, since = where, time.Now()
		}
		if time.Since(since) > settleWithin {
			return fmt.Errorf("nothing moves any more: %s", where)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// balance compares the books after everything has settled: what is lost, and what the operator got twice.
func (b *books) balance(ctx context.Context, total int) (lost, duplicates int, err error) {
	now, err := b.operator(ctx)
	if err != nil {
		return 0, 0, err
	}
	delivered, all, err := b.delivered(ctx)
	if err != nil {
		return 0, 0, err
	}
	for _, event := range booked {
		audited, err := b.audited(ctx, event)
		if err != nil {
			return 0, 0, err
		}
		if audited != total {
			return 0, 0, fmt.Errorf("audit speaks of %d messages in %s, %d were sent", audited, event, total)
		}
	}
	if all != total || int(now.Totals.Submits) != total {
		return 0, 0, fmt.Errorf("sent %d, stored %d, submitted %d", total, all, now.Totals.Submits)
	}
	return total - delivered, int(now.Duplicates), nil
}
