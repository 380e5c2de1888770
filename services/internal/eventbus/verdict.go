package eventbus

import (
	"time"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Retry of deliveries.
const (
	maxFailures     = 20 // of kinds that should end: then a dead letter
	firstRetry      = 100 * time.Millisecond
	lastRetry       = 30 * time.Second
	lastRetryOutage = 5 * time.Second // what was away comes back at once; nobody should wait 30 s longer than it
)

type action uint8

const (
	actAck action = iota
	actRetry
	actDead
)

// verdict is what happens to one delivery.
type verdict struct {
	action action
	delay  time.Duration // of actRetry
}

// judge turns a handler's error into the verdict on one delivery. delivered is how often the
// server has delivered it, failures how often it has failed with NotFound or Internal, this time included; outages do
// not count as failures, so an event that waited for PostgreSQL a hundred times is not poison.
func judge(err error, delivered, failures int) verdict {
	if err == nil {
		return verdict{action: actAck}
	}
	switch kind := errs.KindOf(err); kind {
	case errs.Exists: // it has been done
		return verdict{action: actAck}
	case errs.Invalid, errs.Denied, errs.Unauthenticated: // it can never succeed as it is
		return verdict{action: actDead}
	case errs.Unavailable, errs.Exhausted:
		return verdict{actRetry, backoff(delivered-1, firstRetry, lastRetryOutage)}
	default: // NotFound: the other event may be on its way; Internal: our fault, perhaps a race
		if failures >= maxFailures {
			return verdict{action: actDead}
		}
		return verdict{actRetry, backoff(delivered-1, firstRetry, lastRetry)}
	}
}

// counts tells whether err brings a delivery nearer to the dead letters.
func counts(err error) bool {
	if err == nil {
		return false
	}
	kind := errs.KindOf(err)
	return kind == errs.NotFound || kind == errs.Internal
}

// kindName is the word for an error's kind in dead letters and spans.
func kindName(err error) string {
	switch errs.KindOf(err) {
	case errs.Invalid:
		return "invalid"
	case errs.NotFound:
		return "not found"
	case errs.Exists:
		return "exists"
	case errs.Denied:
		return "denied"
	case errs.Unauthenticated:
		return "unauthenticated"
	case errs.Exhausted:
		return "exhausted"
	case errs.Unavailable:
		return "unavailable"
	default:
		return "internal"
	}
}
