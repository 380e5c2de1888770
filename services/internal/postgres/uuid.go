package postgres

import (
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

// registerUUID teaches m uuid.UUID in its binary form. Without it pgx goes through text: three times the cost per id,
// and ids are most of what a batch holds.
func registerUUID(m *pgtype.Map) {
	m.TryWrapEncodePlanFuncs = append([]pgtype.TryWrapEncodePlanFunc{wrapEncode}, m.TryWrapEncodePlanFuncs...)
	m.TryWrapScanPlanFuncs = append([]pgtype.TryWrapScanPlanFunc{wrapScan}, m.TryWrapScanPlanFuncs...)
}

// wireUUID is a uuid.UUID that speaks pgtype's UUIDValuer and UUIDScanner.
type wireUUID uuid.UUID

// UUIDValue implements pgtype.UUIDValuer.
func (u wireUUID) UUIDValue() (pgtype.UUID, error) { return pgtype.UUID{Bytes: u, Valid: true}, nil }

// ScanUUID implements pgtype.UUIDScanner; NULL needs a *uuid.UUID.
func (u *wireUUID) ScanUUID(v pgtype.UUID) error {
	if !v.Valid {
		return fmt.Errorf("cannot scan NULL into *uuid.UUID")
	}
	*u = v.Bytes
	return nil
}

func wrapEncode(value any) (pgtype.WrappedEncodePlanNextSetter, any, bool) {
	switch value := value.(type) {
	case uuid.UUID:
		return &encodeUUID{}, wireUUID(value), true
	case []uuid.UUID:
		return &encodeUUIDs{}, wireUUIDs(value), true
	}
	return nil, nil, false
}

func wrapScan(target any) (pgtype.WrappedScanPlanNextSetter, any, bool) {
	if target, ok := target.(*uuid.UUID); ok {
		return &scanUUID{}, (*wireUUID)(target), true
	}
	return nil, nil, false
}

type encodeUUID struct{ next pgtype.EncodePlan }

func (p *encodeUUID) SetNext(next pgtype.EncodePlan) { p.next = next }

func (p *encodeUUID) Encode(value any, buf []byte) ([]byte, error) {
	return p.next.Encode(wireUUID(value.(uuid.UUID)), buf)
}

type encodeUUIDs struct{ next pgtype.EncodePlan }

func (p *encodeUUIDs) SetNext(next pgtype.EncodePlan) { p.next = next }

func (p *encodeUUIDs) Encode(value any, buf []byte) ([]byte, error) {
	return p.next.Encode(wireUUIDs(value.([]uuid.UUID)), buf)
}

func wireUUIDs(ids []uuid.UUID) pgtype.FlatArray[wireUUID] {
	if ids == nil {
		return nil
	}
	out := make(pgtype.FlatArray[wireUUID], len(ids))
	for i, id := range ids {
		out[i] = wireUUID(id)
	}
	return out
}

type scanUUID struct{ next pgtype.ScanPlan }

func (p *scanUUID) SetNext(next pgtype.ScanPlan) { p.next = next }

func (p *scanUUID) Scan(src []byte, dst any) error {
	return p.next.Scan(src, (*wireUUID)(dst.(*uuid.UUID)))
}
