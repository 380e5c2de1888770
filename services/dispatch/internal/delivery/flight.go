package delivery

import (
	"errors"
	"time"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/route"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/smpp"
)

// maxAttempts bounds submits of a message that the operator refuses for a passing reason (DLT rules 8.3: retry 3 times).
const maxAttempts = 4

// retryDelays are the waits before the second, third and fourth submit (DLT rules 8.3).
var retryDelays = [maxAttempts - 1]time.Duration{30 * time.Second, 2 * time.Minute, 10 * time.Minute}

// answerKind is what is known about one segment.
type answerKind uint8

const (
	awaited answerKind = iota
	taken
	throttled
	passing
	refused
	deferred
	unanswered
	unsent
)

// segment is one submit_sm of a flight.
type segment struct {
	number int // 0-based in the message
	kind   answerKind
	code   string // of the operator
	reason string // canonical
}

// flight is a message between its intent and its result. It belongs to its bind's lock.
type flight struct {
	message  *Message
	segments []segment // those submitted now: the ones not accepted before
	awaited  int       // without any outcome yet
	kind     Kind      // of the last result; zero before the first. What comes after it is late
	named    uint64    // segments whose ids a result has named
	since    time.Time // of the submit
}

// newFlight makes the flight of a message for the segments the operator has not accepted.
func newFlight(m *Message) *flight {
	f := &flight{message: m, segments: make([]segment, 0, len(m.Text.Segments))}
	for i := range m.Text.Segments {
		if m.ids == nil || m.ids[i] == "" {
			f.segments = append(f.segments, segment{number: i})
		}
	}
	f.awaited = len(f.segments)
	return f
}

// answer enters what the session says about one segment, and the meaning of its code on the route.
func (f *flight) answer(i int, r *smpp.Result, rt *route.Route) {
	s := &f.segments[i]
	if s.kind == awaited {
		f.awaited--
	}
	s.kind, s.code, s.reason = read(r, rt)
	if s.kind != taken {
		return
	}
	if id := rt.ResponseID.Canonical(r.MessageID); id != "" {
		f.message.accept(s.number, id)
		return
	}
	s.kind, s.reason = unanswered, ReasonUnanswered // taken, but no receipt can ever be joined
}

// read turns the session's outcome into what is known.
func read(r *smpp.Result, rt *route.Route) (kind answerKind, code, reason string) {
	switch r.Outcome {
	case smpp.NotSent:
		if field := (*smpp.FieldError)(nil); errors.As(r.Err, &field) {
			return refused, "", ReasonUnencodable
		}
		return unsent, "", ""
	case smpp.TimedOut, smpp.Lost:
		return unanswered, "", ReasonUnanswered
	}
	if r.Status == smpp.StatusOK {
		return taken, "", ""
	}
	code = route.StatusCode(uint32(r.Status))
	meaning := rt.Meaning(code)
	switch meaning.Class {
	case route.Throttle:
		return throttled, code, meaning.Reason
	case route.Temporary:
		return passing, code, meaning.Reason
	case route.Defer:
		return deferred, code, meaning.Reason
	}
	return refused, code, meaning.Reason
}

// verdict is what follows from a flight's answers.
type verdict struct {
	result Result
	record bool // result is to be recorded
	again  bool // the message goes back to its lane
}

// judge says what follows once no segment is awaited; before that, nothing. A message of which the operator has a part
// is submitted again, for the rest, under the doubt of its first intent: nothing is recorded until all of it is known.
func (f *flight) judge(now time.Time) verdict {
	if f.awaited > 0 {
		return verdict{}
	}
	res := Result{Message: f.message, At: now, Intent: true, Late: f.kind != 0}
	if !f.settle(&res, now) {
		return verdict{again: true}
	}
	res.Accepted = f.collect()
	if res.Kind == f.kind {
		if len(res.Accepted) == 0 {
			return verdict{}
		}
		res.Kind = 0 // no news but the ids
	} else {
		f.kind = res.Kind
	}
	return verdict{result: res, record: true, again: res.Kind.open()}
}

// settle fills in kind and reason; false when the rest of a partly accepted message is to be submitted again.
func (f *flight) settle(res *Result, now time.Time) bool {
	var n [unsent + 1]int
	for i := range f.segments {
		n[f.segments[i].kind]++
	}
	partly := f.message.missing() < f.message.Segments()
	last := f.kind != 0 || n[passing] > 0 && f.message.attempts+1 >= maxAttempts
	switch {
	case n[refused] > 0:
		f.blame(res, refused, Failed)
	case n[unanswered] > 0:
		f.blame(res, unanswered, Unknown)
		res.Doubtful, res.Since = f.unanswered(), f.since
	case n[taken] == len(f.segments):
		res.Kind = Submitted
	case n[deferred] > 0 && (partly || last):
		f.blame(res, deferred, Failed)
	case n[deferred] > 0:
		f.blame(res, deferred, Returned)
		res.Due = route.NextPromoOpening(now)
	case n[passing] > 0 && last:
		f.blame(res, passing, Failed)
	case n[throttled] > 0 && last: // a late refusal: it was given up as unknown and is not submitted again
		f.blame(res, throttled, Failed)
	case n[passing] > 0:
		f.delay(now)
		f.blame(res, passing, Retried)
		return !partly
	default:
		res.Kind = Released
		return !partly
	}
	return true
}

// unanswered lists the segments in doubt, 1-based.
func (f *flight) unanswered() (list []int) {
	for i := range f.segments {
		if f.segments[i].kind == unanswered {
			list = append(list, f.segments[i].number+1)
		}
	}
	return list
}

// delay makes a message wait that was refused for a passing reason.
func (f *flight) delay(now time.Time) {
	f.message.notDue = now.Add(retryDelays[min(f.message.attempts, len(retryDelays)-1)])
	f.message.attempts++
}

// closed tells whether nothing more can be heard: each segment was answered or never sent.
func (f *flight) closed() bool {
	for i := range f.segments {
		if k := f.segments[i].kind; k == awaited || k == unanswered {
			return false
		}
	}
	return true
}

// blame sets kind, reason and code from the first segment of a kind.
func (f *flight) blame(res *Result, kind answerKind, outcome Kind) {
	res.Kind = outcome
	for i := range f.segments {
		if s := &f.segments[i]; s.kind == kind {
			res.Reason, res.Code = s.reason, s.code
			if f.message.Segments() > 1 {
				res.Segment = s.number + 1
			}
			return
		}
	}
}

// collect hands over the ids no result has named yet: at first those of earlier submits of the message too.
func (f *flight) collect() []Accepted {
	var list []Accepted
	for i, id := range f.message.ids {
		if id != "" && f.named&(1<<i) == 0 { // beyond 64 segments an id may be named twice, which changes nothing
			f.named |= 1 << i
			list = append(list, Accepted{i + 1, id})
		}
	}
	return list
}
