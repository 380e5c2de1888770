package ledger

import (
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Outcomes of an entry.
const (
	Success = "success"
	Refused = "refused"
	Failure = "failure"
)

// Entry is one fact of a tenant's log, before it has an index.
type Entry struct {
	EventID     uuid.UUID // the parcel's or the call's id: the same fact never enters twice
	Tenant      uuid.UUID
	Env         string // live or test
	Action      string // full name of the event, or a call's action (type.v1.Access.audit)
	Actor       string // service/<name>; of a call key/<kid>, user/<id>, operator/<command> or anonymous
	Resource    string // parcel/<uuid>; of a call for example api_key/<kid>, or nothing
	Outcome     string // Success, Refused or Failure
	Reason      string // of a call, canonical; empty for a success
	RequestID   string // of a call
	Correlation uuid.UUID
	Causation   uuid.UUID // Nil at the beginning of a chain
	OccurredAt  time.Time // by the producer's clock
	ReceivedAt  time.Time // by ours
	Messages    []MessageGroup
	Fields      []Field // sorted by name
}

// Count is the number of messages the entry speaks of.
func (e *Entry) Count() int {
	n := 0
	for _, g := range e.Messages {
		n += len(g.Indexes)
	}
	return n
}

// ist is fixed: India has one zone and no daylight saving, and the host's zone database may lack it.
var ist = time.FixedZone("IST", 5*3600+1800)

// stamp has microseconds, what PostgreSQL keeps, so that a leaf can be derived again from its row.
const stamp = "2006-01-02T15:04:05.000000Z07:00"

// Leaf is the canonical form of an entry: the line `audit-leaf/v1`, then one `name value` line a field in
// fixed order, commitments last and sorted; reason and request_id only where there is one. The index is not in it: the leaf's place in the tree proves it. CERT-In (28 April 2022) wants times with their zone: UTC and IST are given.
// At most 2 KiB for any entry made of an event.
func Leaf(dst []byte, e *Entry) []byte {
	line := func(name, value string) {
		dst = append(dst, name...)
		dst = append(dst, ' ')
		dst = appendValue(dst, value)
		dst = append(dst, '\n')
	}
	dst = append(dst, "audit-leaf/v1\n"...)
	line("tenant", e.Tenant.String())
	line("event_id", e.EventID.String())
	line("env", e.Env)
	line("action", e.Action)
	line("actor", e.Actor)
	line("resource", e.Resource)
	line("outcome", e.Outcome)
	if e.Reason != "" {
		line("reason", e.Reason)
	}
	if e.RequestID != "" {
		line("request_id", e.RequestID)
	}
	line("correlation", e.Correlation.String())
	line("causation", e.Causation.String())
	line("messages", strconv.Itoa(e.Count()))
	line("occurred_utc", e.OccurredAt.UTC().Format(stamp))
	line("occurred_ist", e.OccurredAt.In(ist).Format(stamp))
	line("received_utc", e.ReceivedAt.UTC().Format(stamp))
	for i := range e.Fields {
		f := &e.Fields[i]
		dst = append(dst, "commit "...)
		dst = append(dst, f.Name...)
		dst = append(dst, ' ')
		dst = appendHex(dst, f.Commitment())
		dst = append(dst, '\n')
	}
	return dst
}

// appendValue keeps a leaf unambiguous: a value that could break a line is quoted.
func appendValue(dst []byte, value string) []byte {
	for i := range len(value) {
		if value[i] < ' ' || value[i] == '"' || value[i] >= 0x7f {
			return strconv.AppendQuoteToASCII(dst, value)
		}
	}
	return append(dst, value...)
}
