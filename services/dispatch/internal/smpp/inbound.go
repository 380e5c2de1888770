package smpp

import (
	"errors"
	"os"
	"time"
)

// Delivery is one deliver_sm: a receipt, or a message from a handset.
type Delivery struct {
	Seq uint32
	SM  DeliverSM
	PDU []byte // the whole frame as it came, for its hash; its own copy
}

// answer is a submit_sm_resp or generic_nack; id points into the read buffer.
type answer struct {
	seq    uint32
	status Status
	id     []byte
	err    error
}

// inbound is what one read brought.
type inbound struct {
	answers  []answer
	delivers [][]byte // deliver_sm frames, in the read buffer
	replies  []byte   // frames to send back at once
	results  results
}

// read handles frames, a buffer full at a time, until the session must end.
func (s *Session) read() error {
	var in inbound
	for {
		_ = s.conn.SetReadDeadline(time.Now().Add(s.cfg.ReadTimeout)) // Read reports a dead connection
		frame, err := s.r.Next()
		s.lastRead.Store(int64(s.age()))
		for err == nil {
			if err = s.sort(&in, frame); err != nil || !s.r.Ready() {
				break
			}
			frame, err = s.r.Next()
		}
		if lost := (*LengthError)(nil); errors.As(err, &lost) {
			in.replies = AppendEmpty(in.replies, CommandGenericNack, StatusInvCmdLen, 0)
		}
		s.flush(&in)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return ErrSilent
		}
		if err != nil {
			return err
		}
	}
}

// sort puts one frame where it belongs. An error ends the session.
func (s *Session) sort(in *inbound, frame []byte) error {
	h := ParseHeader(frame)
	switch h.Command {
	case CommandSubmitSMResp:
		var resp MessageResp
		err := resp.Decode(h.Command, FrameBody(frame))
		in.answers = append(in.answers, answer{seq: h.Sequence, status: h.Status, id: resp.MessageID, err: err})
	case CommandGenericNack:
		in.answers = append(in.answers, answer{seq: h.Sequence, status: h.Status})
	case CommandDeliverSM:
		in.delivers = append(in.delivers, frame)
	case CommandEnquireLink:
		in.replies = AppendEmpty(in.replies, CommandEnquireLinkResp, StatusOK, h.Sequence)
	case CommandUnbind:
		in.replies = AppendEmpty(in.replies, CommandUnbindResp, StatusOK, h.Sequence)
		return ErrUnbound
	case CommandUnbindResp:
		return ErrClosed
	case CommandAlertNotification, CommandOutbind: // have no response (§4.12, §4.1.7)
	default:
		if !h.Command.Response() {
			in.replies = AppendEmpty(in.replies, CommandGenericNack, StatusInvCmdID, h.Sequence)
		}
	}
	return nil
}

// flush hands over what one read brought and empties in.
func (s *Session) flush(in *inbound) {
	s.match(in)
	batch := s.admit(in)
	s.reply(in.replies)
	s.hand(in.results.take())
	if len(batch) > 0 {
		s.cfg.OnDeliveries(s, batch)
	}
	in.answers, in.delivers, in.replies = in.answers[:0], in.delivers[:0], in.replies[:0]
}

// match finds the submission of each answer.
func (s *Session) match(in *inbound) {
	if len(in.answers) == 0 {
		return
	}
	now := s.age()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range in.answers {
		f, late, ok := s.win.take(a.seq)
		if !ok {
			s.counts.Unmatched++
			continue
		}
		s.counts.Answered++
		if late {
			s.counts.Late++
		}
		in.results.add(Result{
			Tag: f.tag, Seq: a.seq, Outcome: Answered, Late: late,
			Status: a.status, Elapsed: now - f.sent, Err: a.err,
		}, a.id)
	}
	s.checkIdle()
}

// admit decodes deliver_sm frames into memory of their own, one block and one
// string for all, and turns away what is malformed or too many.
func (s *Session) admit(in *inbound) []Delivery {
	if len(in.delivers) == 0 {
		return nil
	}
	room := s.deliveryRoom()
	var block []byte
	for _, frame := range in.delivers {
		block = append(block, frame...)
	}
	text := string(block)
	batch := make([]Delivery, 0, len(in.delivers))
	for _, frame := range in.delivers {
		n := len(frame)
		d := Delivery{Seq: ParseHeader(frame).Sequence, PDU: block[:n:n]}
		status := StatusRxTemporary
		if len(batch) < room {
			status = decodeStatus((*SubmitSM)(&d.SM).decode(CommandDeliverSM, d.PDU[headerLen:], text[headerLen:n]))
		}
		block, text = block[n:], text[n:]
		if status == StatusOK && s.cfg.OnDeliveries != nil {
			batch = append(batch, d)
			continue
		}
		in.replies, _ = AppendMessageResp(in.replies, CommandDeliverSMResp, status, d.Seq, "") // an empty id fits
	}
	s.admitted(len(batch), len(in.delivers)-len(batch))
	return batch
}

// decodeStatus is what to answer to a body that decoded with err.
func decodeStatus(err error) Status {
	if fault := (*DecodeError)(nil); errors.As(err, &fault) {
		return fault.Reason
	}
	return StatusOK
}

func (s *Session) deliveryRoom() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg.MaxDeliveries - s.deliveries
}

func (s *Session) admitted(in, out int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deliveries += in
	s.counts.Delivered += uint64(in)
	s.counts.Deferred += uint64(out)
}

// Respond answers deliveries with one status (§4.6.2): StatusOK once they are
// committed; StatusRxTemporary to have them sent again. Each delivery is to be
// responded once, in any order, from any goroutine. ErrClosed says that the SMSC
// did not hear it and will send again.
func (s *Session) Respond(status Status, batch []Delivery) error {
	replies := make([]byte, 0, len(batch)*(headerLen+1))
	for i := range batch {
		replies, _ = AppendMessageResp(replies, CommandDeliverSMResp, status, batch[i].Seq, "") // an empty id fits
	}
	_, err := s.w.Append(replies)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deliveries = max(0, s.deliveries-len(batch))
	s.checkIdle()
	return err
}
