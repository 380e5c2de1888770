package smpp

import "time"

// Outcome says what is known about one submission. Only NotSent and an Answered
// with an error status may be sent again elsewhere: after TimedOut and Lost the
// operator may have taken the message.
type Outcome byte

// The outcomes of a submission.
const (
	// Answered: the peer answered; Status and MessageID hold what it said.
	Answered Outcome = iota + 1
	// TimedOut: no answer within Config.SubmitTimeout; unknown to us. Its answer,
	// if it still comes, is a second Result with Late set.
	TimedOut
	// Lost: the session ended before the answer; unknown to us, for ever.
	Lost
	// NotSent: no whole PDU left this process; the operator cannot have it.
	NotSent
)

// String returns the outcome's name.
func (o Outcome) String() string {
	return [...]string{"none", "answered", "timed out", "lost", "not sent"}[o]
}

// Result is the fate of one submission, or its late answer.
type Result struct {
	Tag       uint64 // the caller's, from Submission
	Seq       uint32 // sequence_number; 0 if none was assigned
	Outcome   Outcome
	Late      bool          // an answer after TimedOut
	Status    Status        // with Answered
	MessageID string        // with Answered and StatusOK, as the operator wrote it
	Elapsed   time.Duration // from Submit to the outcome
	Err       error         // with Lost and NotSent, the cause; with Answered, a malformed answer
}

// results gathers answers; their message ids share one string, so that a batch
// costs one allocation.
type results struct {
	list []Result
	ids  []byte
	at   []int // where in ids each id ends
}

func (b *results) add(r Result, id []byte) {
	b.list = append(b.list, r)
	b.ids = append(b.ids, id...)
	b.at = append(b.at, len(b.ids))
}

// take returns the results, their ids filled in, valid until the next add.
func (b *results) take() []Result {
	ids, start := string(b.ids), 0
	for i := range b.list {
		b.list[i].MessageID = ids[start:b.at[i]]
		start = b.at[i]
	}
	list := b.list
	b.list, b.ids, b.at = b.list[:0], b.ids[:0], b.at[:0]
	return list
}
