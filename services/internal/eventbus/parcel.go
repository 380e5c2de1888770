package eventbus

import (
	"strings"

	"github.com/google/uuid"
)

// Lanes as they stand in subjects.
const (
	LaneOTP         = "otp"
	LaneInteractive = "interactive"
	LaneBulk        = "bulk"
	LaneControl     = "control"
)

// Parcel is an encoded parcel on its way out: 1..500 entries of one tenant (design decision 2). Its payload is the
// protobuf parcel message of its event type, with event.v1.Parcel's fields in 1..4, so that a pack is made by
// concatenation and decoded by type.
type Parcel struct {
	ID      uuid.UUID
	Tenant  uuid.UUID
	Subject string // Subject(event, env, lane)
	Entries int    // how many messages it holds: packs are filled by entries and bytes
	Payload []byte
	Trace   string // W3C traceparent of the producing span; may be empty
}

// Subject is `<protobuf full name>.<env>.<lane>`: one name in subject, registry, span and audit entry.
func Subject(event, env, lane string) string { return event + "." + env + "." + lane }

// ParseSubject takes a subject apart; ok is false when it has fewer than three tokens.
func ParseSubject(subject string) (event, env, lane string, ok bool) {
	i := strings.LastIndexByte(subject, '.')
	if i < 0 {
		return "", "", "", false
	}
	j := strings.LastIndexByte(subject[:i], '.')
	if j < 0 {
		return "", "", "", false
	}
	return subject[:j], subject[j+1 : i], subject[i+1:], true
}
