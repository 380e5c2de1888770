package smsc

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/encoding"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/smpp"
)

// answer is a submit_sm_resp that waits.
type answer struct {
	conn *conn
	seq  uint32
	id   uint64
}

// submit does one submit_sm: refuse, or accept and see to its answer and
// receipt.
func (s *Server) submit(c *conn, h smpp.Header, frame []byte) {
	s.tally.totals.Received++
	var sm smpp.SubmitSM
	status := s.admissible(c)
	if status == smpp.StatusOK {
		status = decodeStatus(sm.Decode(smpp.FrameBody(frame)))
	}
	rule := &noRule
	if status == smpp.StatusOK {
		rule = s.rules.find(sm.Destination.Digits)
		status = s.judge(&sm, rule)
	}
	if status != smpp.StatusOK {
		s.tally.refuse(status)
		c.out, _ = smpp.AppendMessageResp(c.out, smpp.CommandSubmitSMResp, status, h.Sequence, "") // an empty id fits
		return
	}
	id := s.accept(c, &sm, frame)
	d := newReceipt(c.account, rule, &sm, id, s.now())
	reply := &answer{conn: c, seq: h.Sequence, id: id}
	if rule.LoseResponse || s.chance(s.knobs.LoseResponseRate) {
		s.tally.totals.LostResponses++
		reply = nil
	}
	s.arrange(rule, d, reply)
}

// admissible says whether the bind may submit at all, now.
func (s *Server) admissible(c *conn) smpp.Status {
	switch {
	case c.account == nil || c.kind == smpp.Receiver:
		return smpp.StatusInvBnd
	case c.account.pacer != nil && c.account.pacer.Take(s.now(), 1, 0) == 0:
		return smpp.StatusThrottled
	case s.knobs.SubmitWindow > 0 && c.unanswered >= s.knobs.SubmitWindow:
		return smpp.StatusMsgQFul
	}
	return smpp.StatusOK
}

func decodeStatus(err error) smpp.Status {
	if fault := (*smpp.DecodeError)(nil); errors.As(err, &fault) {
		return fault.Reason
	}
	return smpp.StatusOK
}

// judge looks at what is submitted.
func (s *Server) judge(sm *smpp.SubmitSM, rule *Rule) smpp.Status {
	switch {
	case s.chance(s.knobs.ErrorRate):
		return s.knobs.ErrorStatus
	case sm.Source.Digits == "":
		return smpp.StatusInvSrcAdr
	case sm.Destination.Digits == "":
		return smpp.StatusInvDstAdr
	case s.ruledOut(sm, rule):
		return rule.Status
	}
	return s.checkTLVs(sm.TLVs)
}

// ruledOut reports whether the destination's rule refuses this submit.
func (s *Server) ruledOut(sm *smpp.SubmitSM, rule *Rule) bool {
	if rule.Status == smpp.StatusOK {
		return false
	}
	if part, _, _ := segmentOf(sm); rule.Segment != 0 && part.Seq != rule.Segment {
		return false
	}
	if rule.Attempts == 0 {
		return true
	}
	s.attempts[sm.Destination.Digits]++
	return s.attempts[sm.Destination.Digits] <= rule.Attempts
}

// checkTLVs demands the three DLT parameters (DLT rules 3.3, 8.3).
func (s *Server) checkTLVs(t smpp.TLVs) smpp.Status {
	entity, hasEntity := t.Get(smpp.TagEntityID)
	template, hasTemplate := t.Get(smpp.TagTemplateID)
	hash, hasHash := t.Get(smpp.TagChainHash)
	count := &s.tally.tlv
	count.Entity += one(hasEntity)
	count.Template += one(hasTemplate)
	count.Hash += one(hasHash)
	status := smpp.StatusOK
	switch {
	case !hasEntity || !hasTemplate || !hasHash:
		count.Missing++
		status = smpp.StatusMissingOptParam
	case !digits(entity, 19) || !digits(template, 19) || !lowerHex(hash, 64):
		count.Malformed++
		status = smpp.StatusInvOptParamVal
	default:
		count.AllThree++
	}
	if !s.knobs.RequireTLVs {
		return smpp.StatusOK
	}
	return status
}

func one(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// digits reports whether value is n decimal digits.
func digits(value []byte, n int) bool {
	for _, b := range value {
		if b < '0' || b > '9' {
			return false
		}
	}
	return len(value) == n
}

// lowerHex reports whether value is n lower-case hex digits.
func lowerHex(value []byte, n int) bool {
	for _, b := range value {
		if (b < '0' || b > '9') && (b < 'a' || b > 'f') {
			return false
		}
	}
	return len(value) == n
}

// accept counts and remembers a submit and gives it its id.
func (s *Server) accept(c *conn, sm *smpp.SubmitSM, frame []byte) uint64 {
	s.nextID++
	now := s.now()
	part, _, body := segmentOf(sm)
	s.tally.accepted(now, sm.DataCoding, part.Seq, part.Total)
	if !s.seen.add(s.identity(sm, part, body)) {
		s.tally.duplicates++
	}
	s.journal.add(now, s.nextID, c, frame)
	return s.nextID
}

// identity is what makes a submit the same as another: everything but the
// reference that ties segments together, which a client draws anew each time.
func (s *Server) identity(sm *smpp.SubmitSM, part encoding.Concat, body []byte) []byte {
	k := append(append(s.key[:0], sm.Source.Digits...), 0)
	k = append(append(k, sm.Destination.Digits...), 0, sm.DataCoding, part.Seq, part.Total)
	k = binary.BigEndian.AppendUint16(k, uint16(len(body)))
	k = append(k, body...)
	for tag, value := range sm.TLVs.All() {
		if tag != smpp.TagSARRefNum {
			k = smpp.AppendTLV(smpp.TLVs(k), tag, value)
		}
	}
	s.key = k
	return k
}

// receiptLead is how long a receipt that comes first is ahead of the response.
const receiptLead = 20 * time.Millisecond

// arrange orders response and receipt. A nil reply is never sent.
func (s *Server) arrange(rule *Rule, d *delivery, reply *answer) {
	first := rule.ReceiptFirst || s.chance(s.knobs.ReceiptFirstRate)
	lost := rule.LoseReceipt || s.chance(s.knobs.LoseReceiptRate)
	if first && !lost && reply != nil && len(d.account.receivers) > 0 {
		reply.conn.unanswered++
		d.before = reply
	} else if reply != nil {
		s.answerSoon(reply)
	}
	if lost {
		return
	}
	delay := time.Duration(s.knobs.ReceiptDelayMS+rule.DelayMS) * time.Millisecond
	if d.before != nil {
		delay = 0
	}
	s.schedule(delay, d)
	if rule.Duplicate || s.chance(s.knobs.DuplicateReceiptRate) {
		again := *d
		again.before = nil
		s.schedule(delay, &again)
	}
	if rule.ThenStat != "" {
		then := *d
		then.before, then.stat, then.err = nil, rule.ThenStat, "000"
		s.schedule(delay+time.Second, &then)
	}
	if rule.ReplyFromUser != "" {
		s.reply(d, rule.ReplyFromUser, delay+slotWidth)
	}
}

// answerSoon sends a response now or after the knob's delay.
func (s *Server) answerSoon(a *answer) {
	a.conn.unanswered++
	if delay := s.knobs.ResponseDelayMS; delay > 0 {
		s.later(time.Duration(delay)*time.Millisecond, event{answer: a})
		return
	}
	s.send(a)
}

// send writes a response, unless its connection is gone.
func (s *Server) send(a *answer) {
	a.conn.unanswered--
	if a.conn.closed {
		return
	}
	var id [24]byte
	a.conn.out, _ = smpp.AppendMessageResp(a.conn.out, smpp.CommandSubmitSMResp, smpp.StatusOK, a.seq,
		s.knobs.ResponseID.Append(id[:0], a.id)) // 20 digits at most
	s.markDirty(a.conn)
}

// chance draws once if the rate is neither 0 nor 1.
func (s *Server) chance(rate float64) bool {
	return rate >= 1 || rate > 0 && s.rand.Float64() < rate
}
