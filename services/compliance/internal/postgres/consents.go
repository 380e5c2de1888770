package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/consent"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// book is the events of one transaction before they are written.
type book struct {
	known   map[consent.Key]*consent.Record
	events  []consent.Event
	touched map[consent.Key]bool
}

// open reads the consents of recipients.
func (l *ledger) open(ctx context.Context, recipients [][]byte) (*book, error) {
	found, err := records(ctx, l, l.Place, `recipient = ANY ($3::bytea[])`, recipients)
	if err != nil {
		return nil, err
	}
	b := &book{known: make(map[consent.Key]*consent.Record, len(found)), touched: map[consent.Key]bool{}}
	for i := range found {
		b.known[found[i].Key] = &found[i]
	}
	return b, nil
}

// add makes the event that is wanted, if it can follow and says something new.
func (l *ledger) add(b *book, w consent.Wanted) (a consent.Added, err error) {
	w.Occur = w.Occur.UTC().Truncate(time.Microsecond)
	w.Grant.Expires = w.Grant.Expires.UTC().Truncate(time.Microsecond)
	r := b.known[w.Key]
	if r == nil {
		r = &consent.Record{ID: l.s.newID(), Key: w.Key}
	}
	kind, changed, err := r.Next(w.Kind, w.Occur, l.now)
	if err != nil || !changed {
		return consent.Added{Record: *r, Err: err}, nil
	}
	e := consent.Event{ID: l.s.newID(), Consent: r.ID, Key: w.Key, Kind: kind, Grant: w.Grant, Occur: w.Occur, Record: l.now,
		Actor: l.author.Actor, Source: w.Source, Reason: w.Reason}
	if err := e.Seal(l.Tenant, l.Env, r.Hash); err != nil {
		return a, err
	}
	r.Apply(&e)
	b.known[w.Key], b.touched[w.Key] = r, true
	b.events = append(b.events, e)
	l.wishes = append(l.wishes, &compliancev1.Wish{RecipientIndex: slices.Clone(w.Key.Recipient[:]), Kind: string(kind), EntityId: w.Key.Entity,
		Purpose: w.Key.Purpose, Source: w.Source, ReceiptHash: slices.Clone(e.Hash[:]),
		Restricts:     kind == consent.Revoked || kind == consent.ContractEnded || kind == consent.Invalidated,
		AllCategories: kind == consent.ContractEnded || kind != consent.Given && w.Key.Basis == consent.Inferred})
	return consent.Added{Record: *r, Changed: true}, nil
}

// close writes the events and what they come to.
func (l *ledger) close(ctx context.Context, b *book) error {
	if len(b.events) == 0 {
		return nil
	}
	if err := l.writeEvents(ctx, b.events); err != nil {
		return err
	}
	touched := make([]*consent.Record, 0, len(b.touched))
	beyond := false
	for key := range b.touched {
		r := b.known[key]
		touched = append(touched, r)
		beyond = beyond || key.Basis == consent.Inferred && (r.At(l.now) != consent.StateValid || !r.Grant.Expires.IsZero())
	}
	slices.SortFunc(touched, func(a, b *consent.Record) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	if err := l.writeRecords(ctx, touched); err != nil || !beyond {
		return err
	}
	return l.beyondPromotion(ctx)
}

// beyondPromotion notes that the place has wishes which concern more than promotion.
func (l *ledger) beyondPromotion(ctx context.Context) error {
	_, err := l.Exec(ctx, `INSERT INTO wishes_beyond_promotion (tenant_id, env) VALUES ($1, $2) ON CONFLICT DO NOTHING`, l.Tenant, l.Env)
	return err
}

func (l *ledger) writeEvents(ctx context.Context, events []consent.Event) error {
	n := len(events)
	ids, consents, recipients := make([]uuid.UUID, n), make([]uuid.UUID, n), make([][]byte, n)
	kinds, entities, purposes, channels := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	bases, contracts, actors, sources, reasons := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	details, receipts, hashes := make([][]byte, n), make([][]byte, n), make([][]byte, n)
	expire, occur, record := make([]*time.Time, n), make([]time.Time, n), make([]time.Time, n)
	for i := range events {
		e, err := &events[i], error(nil)
		if details[i], err = json.Marshal(&e.Grant); err != nil {
			return err
		}
		ids[i], consents[i], recipients[i], kinds[i] = e.ID, e.Consent, e.Key.Recipient[:], string(e.Kind)
		entities[i], purposes[i], channels[i], bases[i], contracts[i] = e.Key.Entity, e.Key.Purpose, e.Key.Channel, string(e.Key.Basis), e.Key.Contract
		actors[i], sources[i], reasons[i], receipts[i], hashes[i] = e.Actor, e.Source, e.Reason, e.Receipt, e.Hash[:]
		expire[i], occur[i], record[i] = optional(e.Grant.Expires), e.Occur, e.Record
	}
	_, err := l.Exec(ctx, `INSERT INTO consent_events (tenant_id, env, event_id, consent_id, recipient, kind, entity_id, purpose, channel, basis,
			contract, details, expire_time, occur_time, record_time, actor, source, reason, receipt, hash)
		SELECT $1, $2, u.* FROM unnest($3::uuid[], $4::uuid[], $5::bytea[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
			$12::jsonb[], $13::timestamptz[], $14::timestamptz[], $15::timestamptz[], $16::text[], $17::text[], $18::text[], $19::bytea[], $20::bytea[]) u`,
		l.Tenant, l.Env, ids, consents, recipients, kinds, entities, purposes, channels, bases, contracts, details, expire, occur, record,
		actors, sources, reasons, receipts, hashes)
	return err
}

func (l *ledger) writeRecords(ctx context.Context, all []*consent.Record) error {
	n := len(all)
	ids, recipients, kinds, details, hashes := make([]uuid.UUID, n), make([][]byte, n), make([]string, n), make([][]byte, n), make([][]byte, n)
	entities, purposes, channels, bases, contracts := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	expire, granted, ended := make([]*time.Time, n), make([]*time.Time, n), make([]*time.Time, n)
	for i, r := range all {
		var err error
		if details[i], err = json.Marshal(&r.Grant); err != nil {
			return err
		}
		ids[i], recipients[i], kinds[i], hashes[i] = r.ID, r.Key.Recipient[:], string(r.Last), r.Hash[:]
		entities[i], purposes[i], channels[i], bases[i], contracts[i] = r.Key.Entity, r.Key.Purpose, r.Key.Channel, string(r.Key.Basis), r.Key.Contract
		expire[i], granted[i], ended[i] = optional(r.Grant.Expires), optional(r.Granted), optional(r.Ended)
	}
	_, err := l.Exec(ctx, `INSERT INTO consents (tenant_id, env, consent_id, recipient, entity_id, purpose, channel, basis, contract, last_kind, details,
			expire_time, grant_time, end_time, hash)
		SELECT $1, $2, u.* FROM unnest($3::uuid[], $4::bytea[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
			$11::jsonb[], $12::timestamptz[], $13::timestamptz[], $14::timestamptz[], $15::bytea[]) u
		ON CONFLICT (tenant_id, env, recipient, entity_id, purpose, channel, basis, contract) DO UPDATE SET last_kind = excluded.last_kind,
			details = excluded.details, expire_time = excluded.expire_time, grant_time = excluded.grant_time, end_time = excluded.end_time,
			hash = excluded.hash`,
		l.Tenant, l.Env, ids, recipients, entities, purposes, channels, bases, contracts, kinds, details, expire, granted, ended, hashes)
	return err
}

// AddConsents adds events to the ledger, each by itself: one that cannot follow has its error and leaves the others alone.
// An explicit consent lifts the recipient's opt-outs of the entity from before it.
func (s *Store) AddConsents(ctx context.Context, at consent.Place, author consent.Author, wanted []consent.Wanted) (added []consent.Added, err error) {
	err = s.changeWishes(ctx, at, author, func(l *ledger) (err error) {
		added, err = l.addAll(ctx, wanted)
		return err
	})
	return added, err
}

func (l *ledger) addAll(ctx context.Context, wanted []consent.Wanted) ([]consent.Added, error) {
	recipients := make([][]byte, len(wanted))
	for i := range wanted {
		recipients[i] = wanted[i].Key.Recipient[:]
	}
	b, err := l.open(ctx, recipients)
	if err != nil {
		return nil, err
	}
	added := make([]consent.Added, len(wanted))
	for i, w := range wanted {
		if added[i], err = l.add(b, w); err != nil {
			return nil, err
		}
	}
	if err := l.close(ctx, b); err != nil {
		return nil, err
	}
	return added, l.optIn(ctx, b.events)
}

// Request adds that a recipient is asked for consent; errs.Denied (COOLING_OFF) while he must not be.
func (s *Store) Request(ctx context.Context, at consent.Place, author consent.Author, w consent.Wanted) (added consent.Added, err error) {
	err = s.changeWishes(ctx, at, author, func(l *ledger) error {
		w.Occur = l.now
		recipient := [][]byte{w.Key.Recipient[:]}
		known, err := records(ctx, l, at, `recipient = ANY ($3::bytea[])`, recipient)
		if err != nil {
			return err
		}
		outs, err := optOuts(ctx, l, at, w.Key.Recipient[:])
		if err != nil {
			return err
		}
		last := consent.LastWithdrawal(w.Key.Entity, known, outs, l.now)
		if until := consent.CoolingUntil(last, l.now); !until.IsZero() {
			return consent.ErrCoolingOff(until)
		}
		all, err := l.addAll(ctx, []consent.Wanted{w})
		if err == nil {
			added = all[0]
		}
		return err
	})
	return added, err
}

// Revoke adds that a recipient takes back every consent to an entity, or those of one purpose; where there is none it adds a
// revocation all the same. It answers the records as they stand then.
func (s *Store) Revoke(ctx context.Context, at consent.Place, author consent.Author, w consent.Wanted, allPurposes bool) (revoked []consent.Record, err error) {
	err = s.changeWishes(ctx, at, author, func(l *ledger) error {
		w.Occur = l.now
		revoked, _, err = l.revoke(ctx, w, func(k consent.Key) bool {
			return k.Entity == w.Key.Entity && (allPurposes || k.Purpose == w.Key.Purpose)
		}, true)
		return err
	})
	return revoked, err
}

// revoke revokes a recipient's consents that which picks; bare says that one is revoked where there is none.
func (l *ledger) revoke(ctx context.Context, w consent.Wanted, which func(consent.Key) bool, bare bool) (all []consent.Record, n int, err error) {
	b, err := l.open(ctx, [][]byte{w.Key.Recipient[:]})
	if err != nil {
		return nil, 0, err
	}
	var keys []consent.Key
	for k := range b.known {
		if which(k) {
			keys = append(keys, k)
		}
	}
	explicit := w.Key
	explicit.Basis, explicit.Contract = consent.Explicit, ""
	if bare && !slices.ContainsFunc(keys, func(k consent.Key) bool { return k.Basis != consent.Inferred }) {
		keys = append(keys, explicit)
	}
	slices.SortFunc(keys, compareKeys)
	for _, w.Key = range keys {
		added, err := l.add(b, w)
		if err != nil {
			return nil, 0, err
		}
		all = append(all, added.Record)
		if added.Changed {
			n++
		}
	}
	return all, n, l.close(ctx, b)
}

func compareKeys(a, b consent.Key) int {
	return slices.Compare([]string{a.Entity, a.Purpose, string(a.Basis), a.Contract}, []string{b.Entity, b.Purpose, string(b.Basis), b.Contract})
}

// EndContract ends the consents inferred from a contract; it answers how many.
func (s *Store) EndContract(ctx context.Context, at consent.Place, author consent.Author, entity, contract string, ended time.Time) (n int, err error) {
	err = s.changeWishes(ctx, at, author, func(l *ledger) error {
		n = 0
		found, err := records(ctx, l, at, `entity_id = $3 AND contract = $4 AND contract <> '' ORDER BY recipient, purpose`, entity, contract)
		if err != nil {
			return err
		}
		b := &book{known: map[consent.Key]*consent.Record{}, touched: map[consent.Key]bool{}}
		for i := range found {
			b.known[found[i].Key] = &found[i]
			added, err := l.add(b, consent.Wanted{Key: found[i].Key, Kind: consent.ContractEnded, Occur: ended, Source: "api", Reason: author.Reason})
			if err != nil {
				return err
			}
			if added.Changed {
				n++
			}
		}
		return l.close(ctx, b)
	})
	return n, err
}

// Receipt answers a receipt of the ledger; errs.NotFound when there is none of this place.
func (s *Store) Receipt(ctx context.Context, at consent.Place, id uuid.UUID) (document, hash []byte, err error) {
	err = s.db.InTenant(ctx, at.Tenant, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `SELECT receipt, hash FROM consent_events WHERE tenant_id = $1 AND env = $2 AND event_id = $3`, at.Tenant, at.Env, id).
			Scan(&document, &hash)
		return notThere(err, "CONSENT_NOT_FOUND", "There is no such event in the ledger.")
	})
	return document, hash, err
}

// notThere gives the error of a row that is not there its reason.
func notThere(err error, reason, detail string) error {
	if err == pgx.ErrNoRows { //nolint:errorlint // pgx answers it as it is from Scan
		return errs.E(errs.NotFound, reason, detail, nil)
	}
	return err
}
