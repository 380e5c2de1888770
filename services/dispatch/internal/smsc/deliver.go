package smsc

import (
	"cmp"
	"fmt"
	"log/slog"
	"time"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/encoding"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/smpp"
)

// delivery is one deliver_sm on its way to an account: a receipt, or a message
// from a handset, which has data and no id.
type delivery struct {
	account   *account
	from, to  string // as in the deliver_sm
	id        uint64 // of the submit; 0: a message from a handset
	stat, err string
	submitted time.Time
	before    *answer // response to send once this is sent
	sent      time.Time
	resending bool

	begin      []byte // of a receipt's message, when the knob asks for it
	data       []byte // of a handset's message
	dataCoding byte
	esmClass   byte
}

// receiptTextLen is how much of the message Appendix B has in a receipt.
const receiptTextLen = 20

func newReceipt(a *account, rule *Rule, sm *smpp.SubmitSM, id uint64, now time.Time) *delivery {
	d := &delivery{
		account: a, from: sm.Destination.Digits, to: sm.Source.Digits, id: id, submitted: now,
		stat: cmp.Or(rule.Stat, "DELIVRD"), err: cmp.Or(rule.Err, "000"),
	}
	if sm.DataCoding == smpp.DataCodingDefault {
		_, _, body := segmentOf(sm)
		d.begin = body[:min(len(body), receiptTextLen)]
	}
	return d
}

// count returns the counts of the delivery's sort.
func (s *Server) count(d *delivery) *DeliverCounts {
	if d.id == 0 {
		return &s.tally.inbound
	}
	return &s.tally.receipts
}

// schedule makes a delivery ready after the delay.
func (s *Server) schedule(delay time.Duration, d *delivery) {
	s.count(d).Pending++
	if !s.knobs.ReceiptText {
		d.begin = nil
	} else {
		d.begin = append([]byte(nil), d.begin...) // it points into the read buffer
	}
	if delay > 0 {
		s.later(delay, event{delivery: d})
		return
	}
	d.account.ready.push(d)
}

// pumpAll sends what is ready to all accounts.
func (s *Server) pumpAll() {
	for _, a := range s.accounts {
		s.pump(a)
	}
	s.flush()
}

// pump sends what is ready to the account's receivers in turn, as far as their
// windows reach.
func (s *Server) pump(a *account) {
	if s.knobs.Mute {
		return
	}
	for a.ready.len() > 0 {
		c := a.receiver(s.knobs.DeliverWindow)
		if c == nil {
			return
		}
		s.deliver(c, a.ready.pop())
	}
}

// receiver returns the next bind with room in its window, or nil.
func (a *account) receiver(window int) *conn {
	for range a.receivers {
		a.turn = (a.turn + 1) % len(a.receivers)
		if c := a.receivers[a.turn]; len(c.outstanding) < window {
			return c
		}
	}
	return nil
}

// deliver writes one deliver_sm.
func (s *Server) deliver(c *conn, d *delivery) {
	sm := smpp.DeliverSM{
		Source:      smpp.Address{TON: smpp.TONInternational, NPI: smpp.NPIISDN, Digits: d.from},
		Destination: smpp.Address{TON: smpp.TONAlphanumeric, NPI: smpp.NPIUnknown, Digits: d.to},
		ESMClass:    d.esmClass, DataCoding: d.dataCoding, ShortMessage: d.data,
	}
	d.sent = s.now()
	if d.id != 0 {
		s.fillReceipt(&sm, d)
	}
	seq := c.sequence()
	c.outstanding[seq] = d
	c.out, _ = sm.AppendTo(c.out, seq) // addresses were decoded from a PDU or checked by Inject
	s.markDirty(c)
	counts := s.count(d)
	counts.Sent++
	counts.Resent += one(d.resending)
	if d.before != nil {
		s.later(receiptLead, event{answer: d.before})
		d.before = nil
	}
}

// fillReceipt writes the text of Appendix B and the parameters into scratch.
func (s *Server) fillReceipt(sm *smpp.DeliverSM, d *delivery) {
	var id [24]byte
	name := s.knobs.ReceiptID.Append(id[:0], d.id)
	r := smpp.Receipt{
		ID: string(name), Sub: "001", Dlvrd: "000", Stat: d.stat, Err: d.err,
		Submitted: d.submitted, Done: d.sent, Text: string(d.begin),
	}
	if d.stat == "DELIVRD" {
		r.Dlvrd = "001"
	}
	s.text = smpp.AppendReceipt(s.text[:0], &r, smpp.IST)
	sm.ESMClass, sm.ShortMessage = smpp.ESMClassReceipt, s.text
	if s.knobs.ReceiptTLVs {
		s.tlvs = smpp.AppendTLV(s.tlvs[:0], smpp.TagReceiptedMessageID, append(name, 0))
		s.tlvs = smpp.AppendTLV(s.tlvs, smpp.TagMessageState, []byte{byte(stateOf[d.stat])})
		sm.TLVs = s.tlvs
	}
}

// acknowledged takes a deliver_sm_resp; a refusal means again, later.
func (s *Server) acknowledged(c *conn, h smpp.Header) {
	d, ok := c.outstanding[h.Sequence]
	if !ok {
		return
	}
	delete(c.outstanding, h.Sequence)
	if h.Status == smpp.StatusOK {
		counts := s.count(d)
		counts.Acknowledged++
		counts.Pending--
		return
	}
	d.resending = true
	s.later(time.Duration(s.knobs.RetryDelayMS)*time.Millisecond, event{delivery: d})
}

// resend makes an unanswered delivery ready again.
func (s *Server) resend(d *delivery) {
	d.resending = true
	d.account.ready.push(d)
}

// resendUnanswered sends again what no bind answered within the knob's time.
func (s *Server) resendUnanswered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := s.now().Add(-time.Duration(s.knobs.AckTimeoutMS) * time.Millisecond)
	for c := range s.conns {
		for seq, d := range c.outstanding {
			if d.sent.Before(limit) {
				delete(c.outstanding, seq)
				s.resend(d)
			}
		}
	}
	s.pumpAll()
}

// Inbound is a message from a handset.
type Inbound struct {
	From     string `json:"from"`      // number, at most 20 octets
	To       string `json:"to"`        // header or short code, at most 20 octets
	Text     string `json:"text"`      // GSM or UCS-2, in segments when long
	SystemID string `json:"system_id"` // account; may be left out when there is one only
}

// Inject sends a message from a handset to a bind of the account, when there is
// one, and says in how many segments.
func (s *Server) Inject(m Inbound) (segments int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[m.SystemID]
	if m.SystemID == "" && len(s.accounts) == 1 {
		for _, a = range s.accounts {
		}
	}
	switch {
	case a == nil:
		return 0, fmt.Errorf("unknown system_id")
	case m.From == "" || m.To == "" || len(m.From) > 20 || len(m.To) > 20:
		return 0, fmt.Errorf("from and to must be 1 to 20 octets")
	}
	n, err := s.inject(a, m, 0)
	s.pumpAll()
	return n, err
}

func (s *Server) inject(a *account, m Inbound, delay time.Duration) (segments int, err error) {
	s.nextID++
	encoded, err := encoding.Encode(m.Text, byte(s.nextID))
	if err != nil {
		return 0, err
	}
	for _, data := range encoded.Segments {
		d := &delivery{account: a, from: m.From, to: m.To, data: data, dataCoding: encoded.DataCoding}
		if encoded.UDHI {
			d.esmClass = smpp.ESMClassUDHI
		}
		s.schedule(delay, d)
	}
	return len(encoded.Segments), nil
}

// reply is the handset's answer to the message a receipt is about.
func (s *Server) reply(receipt *delivery, text string, delay time.Duration) {
	m := Inbound{From: receipt.from, To: receipt.to, Text: text}
	if _, err := s.inject(receipt.account, m, delay); err != nil {
		s.log.Error("rule's reply cannot be sent", slog.Any("error", err))
	}
}
