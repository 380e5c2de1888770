package postgres

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
)

// queryObjects reads objects; where is what follows WHERE, with registry_objects as o.
func queryObjects(ctx context.Context, tx pgx.Tx, where string, args ...any) ([]registry.Object, error) {
	rows, err := tx.Query(ctx, `SELECT o.kind, o.object_id, o.entity_id, o.status, o.operators, o.valid_from, o.valid_until, o.certified,
			o.detail, o.version, o.create_time, o.update_time, u.last_use
		FROM registry_objects o LEFT JOIN registry_uses u USING (tenant_id, kind, object_id) WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	var found []registry.Object
	var o registry.Object
	var operators, detail []byte
	var from, until, certified, used *time.Time
	_, err = pgx.ForEachRow(rows, []any{&o.Kind, &o.ID, &o.Entity, &o.Status, &operators, &from, &until, &certified, &detail,
		&o.Version, &o.Created, &o.Updated, &used}, func() error {
		next := o
		next.ValidFrom, next.ValidUntil, next.Certified, next.Used = timeOf(from), timeOf(until), timeOf(certified), timeOf(used)
		if err := json.Unmarshal(detail, &next.Detail); err != nil {
			return err
		}
		if len(operators) > 2 {
			if err := json.Unmarshal(operators, &next.Operators); err != nil {
				return err
			}
		}
		found = append(found, next)
		return nil
	})
	return found, err
}

func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

func nullable(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// writeBatch bounds the rows of one statement: a megabyte, and less than a tenth of a second.
const writeBatch = 2000

// writeObjects puts the objects of changes in place, as of a version. Changes are sorted by key. written is as for apply.
func writeObjects(ctx context.Context, tx pgx.Tx, tenant uuid.UUID, version int64, now time.Time, changes []registry.Change, written func(int) error) error {
	for start := 0; start < len(changes); start += writeBatch {
		part := changes[start:min(start+writeBatch, len(changes))]
		var batch pgx.Batch
		if err := queueObjects(&batch, tenant, version, now, part); err != nil {
			return err
		}
		queueRevisions(&batch, tenant, now, part)
		if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
			return err
		}
		if err := written(start + len(part)); err != nil {
			return err
		}
	}
	return nil
}

func queueObjects(batch *pgx.Batch, tenant uuid.UUID, version int64, now time.Time, changes []registry.Change) error {
	n := len(changes)
	kinds, ids, entities, statuses := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	operators, details := make([]string, n), make([]string, n)
	from, until, certified := make([]*time.Time, n), make([]*time.Time, n), make([]*time.Time, n)
	for i := range changes {
		o := &changes[i].After
		kinds[i], ids[i], entities[i], statuses[i] = string(o.Kind), o.ID, o.Entity, o.Status
		from[i], until[i], certified[i] = nullable(o.ValidFrom), nullable(o.ValidUntil), nullable(o.Certified)
		detail, err := json.Marshal(o.Detail)
		if err != nil {
			return err
		}
		details[i], operators[i] = string(detail), "{}"
		if len(o.Operators) > 0 {
			raw, err := json.Marshal(o.Operators)
			if err != nil {
				return err
			}
			operators[i] = string(raw)
		}
	}
	batch.Queue(`INSERT INTO registry_objects (tenant_id, kind, object_id, entity_id, status, operators, valid_from, valid_until,
			certified, detail, version, create_time, update_time)
		SELECT $1, u.*, $11, $12, $12 FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::timestamptz[],
			$8::timestamptz[], $9::timestamptz[], $10::jsonb[]) u
		ON CONFLICT (tenant_id, kind, object_id) DO UPDATE SET entity_id = excluded.entity_id, status = excluded.status,
			operators = excluded.operators, valid_from = excluded.valid_from, valid_until = excluded.valid_until,
			certified = excluded.certified, detail = excluded.detail, version = excluded.version, update_time = excluded.update_time`,
		tenant, kinds, ids, entities, statuses, operators, from, until, certified, details, version, now)
	return nil
}

// queueRevisions keeps the bodies that are new.
func queueRevisions(batch *pgx.Batch, tenant uuid.UUID, now time.Time, changes []registry.Change) {
	var ids, bodies []string
	var numbers []int32
	for i := range changes {
		b, o := changes[i].Before, &changes[i].After
		if o.Kind == registry.Templates && (b == nil || b.Revision != o.Revision) {
			ids, bodies, numbers = append(ids, o.ID), append(bodies, o.Body), append(numbers, int32(o.Revision))
		}
	}
	if len(ids) > 0 {
		batch.Queue(`INSERT INTO template_revisions (tenant_id, template_id, revision, body, valid_from)
			SELECT $1, u.*, $5 FROM unnest($2::text[], $3::int[], $4::text[]) u`, tenant, ids, numbers, bodies, now)
	}
}
