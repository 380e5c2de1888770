package postgres

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// decisions.entries is a protobuf message of repeated field 1, one entry a message, of which a cleared one takes eight
// bytes or so. Fields are only added.
const (
	fieldEntry protowire.Number = 1

	entryIndex    protowire.Number = 1 // varint: the message's place in its accepted parcel
	entryOutcome  protowire.Number = 2 // varint: policy.Outcome
	entryRound    protowire.Number = 3 // varint
	entryCategory protowire.Number = 4 // varint: type.v1.Category
	entryDue      protowire.Number = 5 // varint: Unix microseconds
	entryReason   protowire.Number = 6 // repeated type.v1.Reason
	entryFinding  protowire.Number = 7 // repeated type.v1.Reason: personal data that decided nothing
)

func appendEntries(b []byte, p *screening.Screened) []byte {
	var scratch []byte
	for i := range p.Verdicts {
		scratch = appendEntry(scratch[:0], screening.Index(p.Messages[i].ID), &p.Verdicts[i])
		b = protowire.AppendTag(b, fieldEntry, protowire.BytesType)
		b = protowire.AppendBytes(b, scratch)
	}
	return b
}

func appendEntry(b []byte, index int, v *screening.Verdict) []byte {
	due := int64(0)
	if v.Outcome == policy.Held {
		due = v.Due.UnixMicro()
	}
	for number, value := range [...]uint64{entryIndex: uint64(index), entryOutcome: uint64(v.Outcome),
		entryRound: uint64(v.Round), entryCategory: uint64(v.Category), entryDue: uint64(due)} {
		if value != 0 {
			b = protowire.AppendTag(b, protowire.Number(number), protowire.VarintType)
			b = protowire.AppendVarint(b, value)
		}
	}
	return appendReasons(appendReasons(b, entryReason, v.Reasons), entryFinding, v.Findings)
}

func appendReasons(b []byte, field protowire.Number, reasons []policy.Reason) []byte {
	if len(reasons) == 0 {
		return b
	}
	for _, r := range encodeReasons(reasons) {
		raw, err := proto.Marshal(r)
		if err != nil { // only text that is not UTF-8 can cause it, and ours is
			panic(err)
		}
		b = protowire.AppendTag(b, field, protowire.BytesType)
		b = protowire.AppendBytes(b, raw)
	}
	return b
}

// findEntry reads the entry of one message; ok is false when it is not among them.
func findEntry(entries []byte, index int) (d screening.Decided, ok bool, err error) {
	for len(entries) > 0 {
		number, kind, n := protowire.ConsumeTag(entries)
		if n < 0 || number != fieldEntry || kind != protowire.BytesType {
			return d, false, damaged(n)
		}
		entry, m := protowire.ConsumeBytes(entries[n:])
		if m < 0 {
			return d, false, damaged(m)
		}
		entries = entries[n+m:]
		at, d, err := readEntry(entry)
		if err != nil || at == index {
			return d, err == nil, err
		}
	}
	return d, false, nil
}

func readEntry(entry []byte) (index int, d screening.Decided, err error) {
	for len(entry) > 0 {
		number, kind, n := protowire.ConsumeTag(entry)
		if n < 0 {
			return 0, d, damaged(n)
		}
		entry = entry[n:]
		switch kind {
		case protowire.VarintType:
			var v uint64
			v, n = protowire.ConsumeVarint(entry)
			readNumber(number, v, &index, &d)
		case protowire.BytesType:
			var raw []byte
			raw, n = protowire.ConsumeBytes(entry)
			if n >= 0 {
				err = readReason(number, raw, &d)
			}
		default:
			n = protowire.ConsumeFieldValue(number, kind, entry)
		}
		if n < 0 || err != nil {
			return 0, d, damaged(n)
		}
		entry = entry[n:]
	}
	return index, d, nil
}

func readNumber(number protowire.Number, v uint64, index *int, d *screening.Decided) {
	switch number {
	case entryIndex:
		*index = int(v)
	case entryOutcome:
		d.Outcome = policy.Outcome(v)
	case entryRound:
		d.Round = uint32(v)
	case entryCategory:
		d.Category = policy.Category(v)
	case entryDue:
		d.Due = time.UnixMicro(int64(v)).UTC()
	}
}

func readReason(number protowire.Number, raw []byte, d *screening.Decided) error {
	if number != entryReason && number != entryFinding {
		return nil
	}
	var r typev1.Reason
	if err := proto.Unmarshal(raw, &r); err != nil {
		return err
	}
	to := &d.Reasons
	if number == entryFinding {
		to = &d.Findings
	}
	*to = append(*to, policy.Reason{Code: r.GetCode(), Detail: r.GetDetail(), Metadata: r.GetMetadata()})
	return nil
}

func damaged(n int) error {
	return errs.E(errs.Internal, "DECISION_DAMAGED", "a stored decision cannot be read", fmt.Errorf("protowire: %d", n))
}
