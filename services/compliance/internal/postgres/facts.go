package postgres

import (
	"encoding/binary"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/onlinesms/onlinesms/services/compliance/internal/complaint"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
)

// Facts are recorded as a protobuf message whose fields are those of factFields by their place, from 1. Zero values take no
// octets, ids of 19 digits eight. Fields are only added, at the end, and never change their meaning: a decision must come
// out the same years later.
type factField struct {
	number func(*policy.Facts) uint64 // nil for texts
	put    func(*policy.Facts, uint64)
	text   func(*policy.Facts) *string
}

func number[N ~uint8 | ~int](field func(*policy.Facts) *N) factField {
	return factField{number: func(f *policy.Facts) uint64 { return uint64(*field(f)) },
		put: func(f *policy.Facts, v uint64) { *field(f) = N(v) }}
}

func flag(field func(*policy.Facts) *bool) factField {
	return factField{number: func(f *policy.Facts) uint64 { return protowire.EncodeBool(*field(f)) },
		put: func(f *policy.Facts, v uint64) { *field(f) = protowire.DecodeBool(v) }}
}

func text(field func(*policy.Facts) *string) factField { return factField{text: field} }

// moment keeps a time in whole microseconds, rounded up: decisions are made at whole ones, to which what begins or ends
// between two of them begins or ends with the later.
func moment(field func(*policy.Facts) *time.Time) factField {
	return factField{number: func(f *policy.Facts) uint64 {
		if at := *field(f); !at.IsZero() {
			return protowire.EncodeZigZag(at.Add(time.Microsecond - 1).UnixMicro())
		}
		return 0
	}, put: func(f *policy.Facts, v uint64) { *field(f) = time.UnixMicro(protowire.DecodeZigZag(v)).UTC() }}
}

var factFields = []factField{
	text(func(f *policy.Facts) *string { return &f.Entity.ID }),
	text(func(f *policy.Facts) *string { return &f.Header.Text }),
	text(func(f *policy.Facts) *string { return &f.Template.ID }),
	text(func(f *policy.Facts) *string { return &f.Chain.Last }),
	text(func(f *policy.Facts) *string { return &f.Route.Operator }),
	text(func(f *policy.Facts) *string { return &f.Route.Telemarketer }),
	number(func(f *policy.Facts) *policy.Status { return &f.Entity.Status }),
	number(func(f *policy.Facts) *policy.Status { return &f.Chain.Status }),
	number(func(f *policy.Facts) *policy.Status { return &f.Chain.Telemarketer }),
	number(func(f *policy.Facts) *policy.Status { return &f.Header.Status }),
	number(func(f *policy.Facts) *policy.Status { return &f.Template.Status }),
	number(func(f *policy.Facts) *policy.Category { return &f.Template.Category }),
	flag(func(f *policy.Facts) *bool { return &f.Mobile }),
	flag(func(f *policy.Facts) *bool { return &f.Header.OfEntity }),
	flag(func(f *policy.Facts) *bool { return &f.Template.OfEntity }),
	// Fifteen fields have a tag of one octet.
	flag(func(f *policy.Facts) *bool { return &f.Template.OfHeader }),
	number(func(f *policy.Facts) *int { return &f.Template.Headers }),
	goods,
	number(func(f *policy.Facts) *policy.Answer { return &f.Template.OptOut }),
	number(func(f *policy.Facts) *policy.Kind { return &f.Header.Kind }),
	number(func(f *policy.Facts) *policy.Consent { return &f.Consent }),
	number(func(f *policy.Facts) *policy.Preference { return &f.Preference }),
	number(func(f *policy.Facts) *policy.Status { return &f.Entity.AtOperator }),
	number(func(f *policy.Facts) *policy.Status { return &f.Chain.AtOperator }),
	number(func(f *policy.Facts) *policy.Status { return &f.Header.AtOperator }),
	number(func(f *policy.Facts) *policy.Status { return &f.Template.AtOperator }),
	number(func(f *policy.Facts) *policy.Stops { return &f.Stops }),
	number(func(f *policy.Facts) *policy.Category { return &f.Requested }),
	flag(func(f *policy.Facts) *bool { return &f.Unreadable }),
	flag(func(f *policy.Facts) *bool { return &f.SeriesUnknown }),
	flag(func(f *policy.Facts) *bool { return &f.BandOn }),
	flag(func(f *policy.Facts) *bool { return &f.ClockDoubt }),
	flag(func(f *policy.Facts) *bool { return &f.Route.AlphaPromo }),
	flag(func(f *policy.Facts) *bool { return &f.Route.SixOnly }),
	flag(func(f *policy.Facts) *bool { return &f.Chain.Differs }),
	flag(func(f *policy.Facts) *bool { return &f.Template.Untyped }),
	flag(func(f *policy.Facts) *bool { return &f.Template.Unlisted }),
	flag(func(f *policy.Facts) *bool { return &f.Template.PreferenceUnchecked }),
	moment(func(f *policy.Facts) *time.Time { return &f.Transaction }),
	moment(func(f *policy.Facts) *time.Time { return &f.Header.From }),
	moment(func(f *policy.Facts) *time.Time { return &f.Header.Until }),
	moment(func(f *policy.Facts) *time.Time { return &f.Template.From }),
	moment(func(f *policy.Facts) *time.Time { return &f.Template.Until }),
	flag(func(f *policy.Facts) *bool { return &f.ConsentRequired }),
	flag(func(f *policy.Facts) *bool { return &f.OptedOut }),
	flag(func(f *policy.Facts) *bool { return &f.Suppressed }),
	number(func(f *policy.Facts) *complaint.Standing { return &f.Complaints }),
	text(func(f *policy.Facts) *string { return &f.BlockedBy }),
}

// goods is the category of goods, recorded as one more than it is: the -1 of templates without one is the commonest.
var goods = factField{number: func(f *policy.Facts) uint64 { return uint64(f.Template.Goods + 1) },
	put: func(f *policy.Facts, v uint64) { f.Template.Goods = int(v) - 1 }}

// appendFacts records facts, but for text, expiry and schedule.
func appendFacts(b []byte, f *policy.Facts) []byte {
	for i := range factFields {
		at := protowire.Number(i + 1)
		if factFields[i].text != nil {
			b = appendWord(b, at, *factFields[i].text(f))
		} else if v := factFields[i].number(f); v != 0 {
			b = protowire.AppendTag(b, at, protowire.VarintType)
			b = protowire.AppendVarint(b, v)
		}
	}
	return b
}

// idLength is how many digits an id has.
const idLength = 19

// appendWord records a text: an id as a number, since nearly all are ids.
func appendWord(b []byte, at protowire.Number, s string) []byte {
	switch {
	case s == "":
		return b
	case policy.IsID(s):
		if id, err := strconv.ParseUint(s, 10, 64); err == nil {
			b = protowire.AppendTag(b, at, protowire.Fixed64Type)
			return binary.LittleEndian.AppendUint64(b, id)
		}
	}
	b = protowire.AppendTag(b, at, protowire.BytesType)
	return protowire.AppendString(b, s)
}

// readFacts reads what appendFacts has written. Fields that are not known, of a later version, are passed over.
func readFacts(b []byte) (f policy.Facts, err error) {
	f.Template.Goods = -1
	for len(b) > 0 {
		at, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return f, damaged(n)
		}
		b = b[n:]
		field := factField{}
		if int(at) <= len(factFields) {
			field = factFields[at-1]
		}
		switch {
		case kind == protowire.VarintType && field.put != nil:
			var v uint64
			v, n = protowire.ConsumeVarint(b)
			field.put(&f, v)
		case kind == protowire.Fixed64Type && field.text != nil:
			var v uint64
			v, n = protowire.ConsumeFixed64(b)
			*field.text(&f) = id(v)
		case kind == protowire.BytesType && field.text != nil:
			var s []byte
			s, n = protowire.ConsumeBytes(b)
			*field.text(&f) = string(s)
		default:
			n = protowire.ConsumeFieldValue(at, kind, b)
		}
		if n < 0 {
			return f, damaged(n)
		}
		b = b[n:]
	}
	return f, nil
}

// id is a number as an id: with its leading zeros.
func id(v uint64) string {
	s := strconv.FormatUint(v, 10)
	for len(s) < idLength {
		s = "0" + s
	}
	return s
}
