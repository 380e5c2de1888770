package postgres

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// eventAccepted is the one event ingest publishes.
var eventAccepted = string((&ingestv1.MessagesAccepted{}).ProtoReflect().Descriptor().FullName())

// Accept stores a flush in one transaction and then hands its parcels to the publisher; see message.Store.
func (s *Store) Accept(ctx context.Context, f message.Flush) error {
	parcels, err := encode(&f)
	if err != nil {
		return err
	}
	rows := messageColumns(&f)
	err = postgres.InTx(ctx, s.db.Worker, func(tx pgx.Tx) error {
		if err := takeKeys(ctx, tx, &f); err != nil { // first: it may find that nothing is to be stored
			return err
		}
		if err := rows.insert(ctx, tx); err != nil {
			return err
		}
		return outbox.Append(ctx, tx, parcels...)
	})
	if err != nil {
		return err
	}
	s.publisher.Publish(parcels...)
	return nil
}

// encode makes the parcels as they travel. The parcel is the beginning of its chain: its id is the correlation.
func encode(f *message.Flush) ([]eventbus.Parcel, error) {
	parcels := make([]eventbus.Parcel, len(f.Parcels))
	for i := range f.Parcels {
		p := &f.Parcels[i]
		payload, err := proto.Marshal(acceptedParcel(p, f.Time))
		if err != nil {
			return nil, err
		}
		parcels[i] = eventbus.Parcel{
			ID: p.ID, Tenant: p.Tenant, Subject: eventbus.Subject(eventAccepted, p.Env, f.Lane),
			Entries: len(p.Entries), Payload: payload, Trace: p.Trace,
		}
	}
	return parcels, nil
}

func acceptedParcel(p *message.Parcel, at time.Time) *ingestv1.AcceptedParcel {
	all := make([]ingestv1.AcceptedMessage, len(p.Entries))
	messages := make([]*ingestv1.AcceptedMessage, len(p.Entries))
	for i := range p.Entries {
		e, m := &p.Entries[i], &all[i]
		m.MessageId = e.ID[:]
		m.EntityId, m.Header, m.TemplateId = e.Message.EntityID, e.Message.Header, e.Message.TemplateID
		m.Content, m.RecipientIndex = e.Content, e.RecipientIndex
		m.ExpireTimeUs = e.Message.Expire.UnixMicro()
		if !e.Message.Schedule.IsZero() {
			m.ScheduleTimeUs = e.Message.Schedule.UnixMicro()
		}
		messages[i] = m
	}
	return &ingestv1.AcceptedParcel{
		ParcelId: p.ID[:], TenantId: p.Tenant[:], CorrelationId: p.ID[:], Messages: messages, AcceptTimeUs: at.UnixMicro(),
	}
}

// takeKeys inserts the idempotency keys, in sorted order, over expired ones; *message.KeyTakenError names those that
// are alive already. It waits for a transaction that is just taking the same key.
func takeKeys(ctx context.Context, tx pgx.Tx, f *message.Flush) error {
	if len(f.Keys) == 0 {
		return nil
	}
	sorted := slices.SortedFunc(slices.Values(f.Keys), func(a, b message.KeyRow) int { return compareKeys(a.Key, b.Key) })
	c := keyColumns(sorted)
	rows, err := tx.Query(ctx, `INSERT INTO idempotency AS i (tenant_id, env, key_hash, request_hash, answer, expire_time)
		SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::bytea[], $5::bytea[], $6::timestamptz[])
		ON CONFLICT (tenant_id, env, key_hash) DO UPDATE SET
			request_hash = excluded.request_hash, answer = excluded.answer, expire_time = excluded.expire_time
		WHERE i.expire_time <= $7
		RETURNING tenant_id, env, key_hash`,
		c.tenants, c.envs, c.hashes, c.requests, c.answers, c.expires, f.Time)
	if err != nil {
		return err
	}
	taken := make(map[message.Key]bool, len(sorted))
	if err := eachKey(rows, func(k message.Key) { taken[k] = true }); err != nil {
		return err
	}
	if len(taken) == len(sorted) {
		return nil
	}
	by := &message.KeyTakenError{}
	for _, row := range sorted {
		if !taken[row.Key] {
			by.Keys = append(by.Keys, row.Key)
		}
	}
	return by
}

// Known answers the keys that are taken and alive; see message.Store.
func (s *Store) Known(ctx context.Context, keys []message.Key) (map[message.Key]message.Taken, error) {
	rows := make([]message.KeyRow, len(keys))
	for i, k := range keys {
		rows[i].Key = k
	}
	c := keyColumns(rows)
	found, err := s.db.Worker.Query(ctx, `SELECT i.tenant_id, i.env, i.key_hash, i.request_hash, i.answer
		FROM unnest($1::uuid[], $2::text[], $3::bytea[]) AS u (tenant_id, env, key_hash)
		CROSS JOIN LATERAL (SELECT * FROM idempotency k WHERE k.tenant_id = u.tenant_id AND k.env = u.env
			AND k.key_hash = u.key_hash AND k.expire_time > $4 LIMIT 1) i`, c.tenants, c.envs, c.hashes, s.now())
	if err != nil {
		return nil, postgres.Map(err)
	}
	known := map[message.Key]message.Taken{}
	var tenant uuid.UUID
	var env string
	var hash, request, answer []byte
	_, err = pgx.ForEachRow(found, []any{&tenant, &env, &hash, &request, &answer}, func() error {
		known[message.Key{Tenant: tenant, Env: env, Hash: [16]byte(hash)}] =
			message.Taken{Request: [16]byte(request), Answer: bytes.Clone(answer)}
		return nil
	})
	return known, postgres.Map(err)
}

// PurgeKeys deletes at most limit expired idempotency keys and answers how many it did.
func (s *Store) PurgeKeys(ctx context.Context, limit int) (int64, error) {
	tag, err := s.db.Worker.Exec(ctx, `DELETE FROM idempotency WHERE ctid = ANY (ARRAY(
		SELECT ctid FROM idempotency WHERE expire_time <= $1 ORDER BY expire_time LIMIT $2 FOR UPDATE SKIP LOCKED))`, s.now(), limit)
	return tag.RowsAffected(), postgres.Map(err)
}

type keyCols struct {
	tenants                   []uuid.UUID
	envs                      []string
	hashes, requests, answers [][]byte
	expires                   []time.Time
}

func keyColumns(rows []message.KeyRow) (c keyCols) {
	for i := range rows {
		r := &rows[i]
		c.tenants, c.envs = append(c.tenants, r.Key.Tenant), append(c.envs, r.Key.Env)
		c.hashes, c.requests = append(c.hashes, r.Key.Hash[:]), append(c.requests, r.Taken.Request[:])
		c.answers, c.expires = append(c.answers, r.Taken.Answer), append(c.expires, r.Expire)
	}
	return c
}

func eachKey(rows pgx.Rows, do func(message.Key)) error {
	var tenant uuid.UUID
	var env string
	var hash []byte
	_, err := pgx.ForEachRow(rows, []any{&tenant, &env, &hash}, func() error {
		do(message.Key{Tenant: tenant, Env: env, Hash: [16]byte(hash)})
		return nil
	})
	return err
}

func compareKeys(a, b message.Key) int {
	if c := bytes.Compare(a.Tenant[:], b.Tenant[:]); c != 0 {
		return c
	}
	if c := strings.Compare(a.Env, b.Env); c != 0 {
		return c
	}
	return bytes.Compare(a.Hash[:], b.Hash[:])
}

// messageCols are the rows of a flush by column: messages, and the events of those that are refused at once.
type messageCols struct {
	days, accepts                               []time.Time
	tenants, ids                                []uuid.UUID
	rounds                                      []*int32
	states                                      []*int16
	envs, lanes, headers, templates, references []string
	refused                                     []message.Chunk
	variable                                    parcelCols // parcels with messages sent by variables
}

type parcelCols struct {
	days         []time.Time
	tenants, ids []uuid.UUID
}

func messageColumns(f *message.Flush) *messageCols {
	c := newMessageCols(f)
	parcels := slices.SortedFunc(slices.Values(f.Parcels), func(a, b message.Parcel) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	refused := int16(message.StateRefused)
	for i := range parcels {
		p := &parcels[i]
		own, byVariables := message.Chunk{Parcel: p.ID, Tenant: p.Tenant, Env: p.Env, Event: p.ID}, false
		for j := range p.Entries {
			e := &p.Entries[j]
			c.add(f, p, e)
			byVariables = byVariables || len(e.Message.Variables) > 0
			if e.Message.Refusal != nil {
				c.rounds[len(c.rounds)-1], c.states[len(c.states)-1] = new(int32), &refused
				event := message.Event{Index: j, Kind: message.KindRefused, Time: f.Time, Reasons: []message.Reason{*e.Message.Refusal}}
				own.Pack = message.AppendEvent(own.Pack, &event)
			}
		}
		if len(own.Pack) > 0 {
			c.refused = append(c.refused, own)
		}
		if v := &c.variable; byVariables {
			v.days, v.tenants, v.ids = append(v.days, postgres.Day(p.ID)), append(v.tenants, p.Tenant), append(v.ids, p.ID)
		}
	}
	return c
}

func newMessageCols(f *message.Flush) *messageCols {
	n := 0
	for i := range f.Parcels {
		n += len(f.Parcels[i].Entries)
	}
	return &messageCols{
		days: make([]time.Time, 0, n), accepts: make([]time.Time, 0, n),
		tenants: make([]uuid.UUID, 0, n), ids: make([]uuid.UUID, 0, n),
		rounds: make([]*int32, 0, n), states: make([]*int16, 0, n),
		envs: make([]string, 0, n), lanes: make([]string, 0, n), headers: make([]string, 0, n),
		templates: make([]string, 0, n), references: make([]string, 0, n),
	}
}

func (c *messageCols) add(f *message.Flush, p *message.Parcel, e *message.Entry) {
	c.days, c.accepts = append(c.days, postgres.Day(e.ID)), append(c.accepts, f.Time)
	c.tenants, c.ids = append(c.tenants, p.Tenant), append(c.ids, e.ID)
	c.rounds, c.states = append(c.rounds, nil), append(c.states, nil)
	c.envs, c.lanes = append(c.envs, p.Env), append(c.lanes, f.Lane)
	c.headers, c.templates = append(c.headers, e.Message.Header), append(c.templates, e.Message.TemplateID)
	c.references = append(c.references, e.Message.ClientReference)
}

func (c *messageCols) insert(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `INSERT INTO messages (day, accept_time, tenant_id, message_id, final_round, final_state,
			env, lane, header, template_id, client_reference)
		SELECT * FROM unnest($1::date[], $2::timestamptz[], $3::uuid[], $4::uuid[], $5::int[], $6::smallint[],
			$7::text[], $8::text[], $9::text[], $10::text[], $11::text[])`,
		c.days, c.accepts, c.tenants, c.ids, c.rounds, c.states, c.envs, c.lanes, c.headers, c.templates, c.references)
	if v := &c.variable; err == nil && len(v.ids) > 0 {
		_, err = tx.Exec(ctx, `INSERT INTO variable_parcels (day, tenant_id, parcel_id)
			SELECT * FROM unnest($1::date[], $2::uuid[], $3::uuid[])`, v.days, v.tenants, v.ids)
	}
	if err == nil && len(c.refused) > 0 {
		err = insertChunks(ctx, tx, c.refused, nil)
	}
	return err
}
