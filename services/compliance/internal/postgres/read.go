package postgres

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
)

// row is one of decisions.
type row struct {
	parcel  uuid.UUID
	env     string
	at      time.Time
	pack    string
	entries []byte
	cleared *uuid.UUID
}

// digest is a SHA-256 over all that the row says, under a name of its own so that it is no other hash of ours.
func (r *row) digest(tenant uuid.UUID) (sum [32]byte) {
	h := sha256.New()
	h.Write([]byte("onlinesms decision v1\n"))
	h.Write(tenant[:])
	h.Write(r.parcel[:])
	var at [8]byte
	binary.BigEndian.PutUint64(at[:], uint64(r.at.UnixMicro()))
	h.Write(at[:])
	h.Write([]byte(r.env + "\n" + r.pack + "\n"))
	h.Write(r.entries)
	h.Sum(sum[:0])
	return sum
}

// shared is what the entries of a row have in common.
type shared struct {
	facts            []policy.Facts
	expire, schedule int64
	run              uuid.UUID
}

// each visits the entries of a row. What visit is given is used again for the next entry.
func (r *row) each(visit func(index int, d *screening.Recorded) error) error {
	var s shared
	for rest := r.entries; len(rest) > 0; {
		at, kind, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return damaged(n)
		}
		rest = rest[n:]
		var value []byte
		var number uint64
		switch kind {
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(rest)
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(rest)
		default:
			n = protowire.ConsumeFieldValue(at, kind, rest)
		}
		if n < 0 {
			return damaged(n)
		}
		rest = rest[n:]
		if err := r.field(&s, at, value, number, visit); err != nil {
			return err
		}
	}
	return nil
}

func (r *row) field(s *shared, at protowire.Number, value []byte, number uint64, visit func(int, *screening.Recorded) error) error {
	switch at {
	case fieldExpire:
		s.expire = protowire.DecodeZigZag(number)
	case fieldSchedule:
		s.schedule = protowire.DecodeZigZag(number)
	case fieldFacts:
		f, err := readFacts(value)
		s.facts = append(s.facts, f)
		return err
	case fieldRun:
		if len(value) != len(s.run) {
			return damaged(0)
		}
		s.run = uuid.UUID(value)
	case fieldEntry:
		e := entry{d: screening.Recorded{Decided: screening.Decided{At: r.at, Pack: r.pack, Run: s.run}}}
		if err := e.read(value); err != nil {
			return err
		}
		if e.d.Outcome == policy.Cleared && r.cleared != nil {
			e.d.Parcel = *r.cleared
		}
		if err := e.withFacts(s); err != nil {
			return err
		}
		return visit(e.index, &e.d)
	}
	return nil
}

// entry is one message's part of a row, as it is read.
type entry struct {
	d                screening.Recorded
	index            int
	facts            uint64
	expire, schedule int64
}

func (e *entry) read(b []byte) error {
	for len(b) > 0 {
		at, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return damaged(n)
		}
		b = b[n:]
		var err error
		switch kind {
		case protowire.VarintType:
			var v uint64
			v, n = protowire.ConsumeVarint(b)
			e.number(at, v)
		case protowire.BytesType:
			var raw []byte
			raw, n = protowire.ConsumeBytes(b)
			switch {
			case at == entryReason && n >= 0:
				err = addReason(&e.d.Reasons, raw)
			case at == entryFinding && n >= 0:
				err = addReason(&e.d.Findings, raw)
			}
		default:
			n = protowire.ConsumeFieldValue(at, kind, b)
		}
		if n < 0 || err != nil {
			return damaged(n)
		}
		b = b[n:]
	}
	return nil
}

func (e *entry) number(at protowire.Number, v uint64) {
	d := &e.d
	switch at {
	case entryIndex:
		e.index = int(v)
	case entryOutcome:
		d.Outcome = policy.Outcome(v)
	case entryRound:
		d.Round = uint32(v)
	case entryCategory:
		d.Category = policy.Category(v)
	case entryDue:
		d.Due = time.UnixMicro(int64(v)).UTC()
	case entryFacts:
		e.facts = v
	case entryExpire:
		e.expire = protowire.DecodeZigZag(v)
	case entrySchedule:
		e.schedule = protowire.DecodeZigZag(v)
	case entryTextAt:
		d.TextAt = uint16(v)
	case entryTextCount:
		d.TextCount = uint16(v)
	case entryWarnings:
		d.Warnings = policy.Warnings(v)
	}
}

func addReason(to *[]policy.Reason, raw []byte) error {
	var r typev1.Reason
	if err := proto.Unmarshal(raw, &r); err != nil {
		return err
	}
	*to = append(*to, policy.Reason{Code: r.GetCode(), Detail: r.GetDetail(), Metadata: r.GetMetadata()})
	return nil
}

// withFacts joins the shared facts with what is the message's own.
func (e *entry) withFacts(s *shared) error {
	if e.facts == 0 {
		return nil
	}
	from, to := int(e.d.TextAt), int(e.d.TextAt)+int(e.d.TextCount)
	if e.facts > uint64(len(s.facts)) || to > len(e.d.Reasons) {
		return damaged(0)
	}
	f := s.facts[e.facts-1]
	f.Expire, f.Schedule = instant(s.expire+e.expire), instant(s.schedule+e.schedule)
	f.Text = e.d.Reasons[from:to:to]
	e.d.Facts = &f
	return nil
}

// instant is the time of Unix microseconds; the zero time for 0.
func instant(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
