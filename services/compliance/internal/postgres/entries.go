package postgres

import (
	"fmt"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// decisions.entries is a protobuf message: what all messages of the row share, and repeated field 1, one entry a message,
// of which a cleared one takes eight octets or so. Fields are only added.
const (
	fieldEntry    protowire.Number = 1
	fieldFacts    protowire.Number = 2 // repeated: distinct facts; see facts.go
	fieldContents protowire.Number = 3 // SHA-256 over ids and sealed contents
	fieldExpire   protowire.Number = 4 // zigzag: expiry of the first message, Unix microseconds
	fieldSchedule protowire.Number = 5 // zigzag: schedule of the first message
	fieldRun      protowire.Number = 6 // id of the scrub run that was asked, 16 octets; none where none was

	entryIndex    protowire.Number = 1 // varint: the message's place in its accepted parcel
	entryOutcome  protowire.Number = 2 // varint: policy.Outcome
	entryRound    protowire.Number = 3 // varint
	entryCategory protowire.Number = 4 // varint: type.v1.Category
	entryDue      protowire.Number = 5 // varint: Unix microseconds
	entryReason   protowire.Number = 6 // repeated type.v1.Reason

	entryFacts     protowire.Number = 7  // varint: place of its facts, from 1
	entryExpire    protowire.Number = 8  // zigzag: its expiry less the first one's
	entrySchedule  protowire.Number = 9  // zigzag: its schedule less the first one's
	entryTextAt    protowire.Number = 10 // varint: where the findings on its text begin among the reasons
	entryTextCount protowire.Number = 11 // varint: how many they are
	entryWarnings  protowire.Number = 12 // varint: policy.Warnings
	entryFinding   protowire.Number = 13 // repeated type.v1.Reason: personal data that decided nothing
)

func appendEntries(b []byte, p *screening.Screened) []byte {
	var scratch []byte
	for i := range p.Facts {
		scratch = appendFacts(scratch[:0], &p.Facts[i])
		b = protowire.AppendTag(b, fieldFacts, protowire.BytesType)
		b = protowire.AppendBytes(b, scratch)
	}
	first := &p.Messages[0]
	if len(p.Facts) > 0 {
		b = protowire.AppendTag(b, fieldContents, protowire.BytesType)
		b = protowire.AppendBytes(b, p.Contents[:])
		b = appendNumber(b, fieldExpire, protowire.EncodeZigZag(first.Expire))
		b = appendNumber(b, fieldSchedule, protowire.EncodeZigZag(first.Schedule))
	}
	if p.Run != uuid.Nil {
		b = protowire.AppendTag(b, fieldRun, protowire.BytesType)
		b = protowire.AppendBytes(b, p.Run[:])
	}
	for i := range p.Verdicts {
		scratch = appendEntry(scratch[:0], &p.Messages[i], first, &p.Verdicts[i])
		b = protowire.AppendTag(b, fieldEntry, protowire.BytesType)
		b = protowire.AppendBytes(b, scratch)
	}
	return b
}

// appendNumber records a number; 0 takes no octets.
func appendNumber(b []byte, at protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, at, protowire.VarintType), v)
}

func appendEntry(b []byte, m, first *screening.Message, v *screening.Verdict) []byte {
	b = appendNumber(b, entryIndex, uint64(screening.Index(m.ID)))
	b = appendNumber(b, entryOutcome, uint64(v.Outcome))
	b = appendNumber(b, entryRound, uint64(v.Round))
	b = appendNumber(b, entryCategory, uint64(v.Category))
	if v.Outcome == policy.Held {
		b = appendNumber(b, entryDue, uint64(v.Due.UnixMicro()))
	}
	b = appendReasons(appendReasons(b, entryReason, v.Reasons), entryFinding, v.Findings)
	if v.Facts == 0 {
		return b
	}
	b = appendNumber(b, entryFacts, uint64(v.Facts))
	b = appendNumber(b, entryExpire, protowire.EncodeZigZag(m.Expire-first.Expire))
	b = appendNumber(b, entrySchedule, protowire.EncodeZigZag(m.Schedule-first.Schedule))
	if v.TextCount > 0 {
		b = appendNumber(b, entryTextAt, uint64(v.TextAt))
		b = appendNumber(b, entryTextCount, uint64(v.TextCount))
	}
	return appendNumber(b, entryWarnings, uint64(v.Warnings))
}

func appendReasons(b []byte, field protowire.Number, reasons []policy.Reason) []byte {
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

func damaged(n int) error {
	return errs.E(errs.Internal, "DECISION_DAMAGED", "a stored decision cannot be read", fmt.Errorf("protowire: %d", n))
}
