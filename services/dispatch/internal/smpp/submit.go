package smpp

import "time"

// Submission is one submit_sm to send. The session keeps neither SM nor its
// slices after Submit returns.
type Submission struct {
	Tag uint64 // comes back in the Result
	SM  *SubmitSM
}

// Submit queues a batch on slots acquired before and returns at once; the
// outcome of each comes through Config.OnResults exactly once. On an error
// (ErrClosed, ErrNoSlots) nothing was queued, no result will come and the slots
// are still held. A submission that cannot be encoded becomes NotSent with a
// *FieldError. Slots held when Close is called may still be submitted.
func (s *Session) Submit(batch []Submission) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ended:
		return ErrClosed
	case len(batch) > s.win.held:
		return ErrNoSlots
	}
	s.win.held -= len(batch)
	s.encode(batch, s.age())
	end, err := s.w.Append(s.scratch)
	base := end - uint64(len(s.scratch))
	if err != nil {
		base = end // beyond what is ever sent: settle will say NotSent
	}
	for _, seq := range s.seqs {
		s.win.ring[s.win.place(seq)].end += base
	}
	return nil
}

// encode writes the batch to scratch and enters its flights, positions counted
// from the start of scratch.
func (s *Session) encode(batch []Submission, now time.Duration) {
	s.scratch, s.seqs = s.scratch[:0], s.seqs[:0]
	for i := range batch {
		var err error
		seq := s.win.sequence()
		if s.scratch, err = batch[i].SM.AppendTo(s.scratch, seq); err != nil {
			s.reject(Result{Tag: batch[i].Tag, Outcome: NotSent, Err: err})
			continue
		}
		s.win.ring[s.win.place(seq)] = flight{seq: seq, tag: batch[i].Tag, sent: now, end: uint64(len(s.scratch))}
		s.win.used++
		s.seqs = append(s.seqs, seq)
	}
	s.counts.Submitted += uint64(len(s.seqs))
}

// reject leaves a result for the ticking goroutine, since the caller of Submit
// may hold locks that OnResults takes.
func (s *Session) reject(r Result) {
	s.rejects = append(s.rejects, r)
	s.win.signal()
	s.checkIdle()
	select {
	case s.rejected <- struct{}{}:
	default:
	}
}

// tick watches timeouts and silence until the session ends.
func (s *Session) tick() {
	period := min(s.cfg.SubmitTimeout, s.cfg.EnquireInterval) / 8
	ticker := time.NewTicker(min(max(period, 5*time.Millisecond), time.Second))
	defer ticker.Stop()
	var enquired time.Duration
	for {
		select {
		case <-s.quit:
			return
		case <-s.rejected:
			s.hand(s.takeRejects())
		case <-ticker.C:
			s.hand(s.expired())
			enquired = s.enquire(enquired)
		}
	}
}

func (s *Session) takeRejects() []Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.rejects
	s.rejects = nil
	return list
}

// expired gives the results of submits that have waited too long.
func (s *Session) expired() []Result {
	now := s.age()
	var list []Result
	s.mu.Lock()
	defer s.mu.Unlock()
	s.win.expire(now-s.cfg.SubmitTimeout, func(f flight) {
		list = append(list, Result{Tag: f.tag, Seq: f.seq, Outcome: TimedOut, Elapsed: now - f.sent})
	})
	s.win.forget(now - s.cfg.SubmitTimeout - s.cfg.LateFor)
	s.counts.TimedOut += uint64(len(list))
	s.checkIdle()
	return list
}

// enquire sends an enquire_link (§4.11) when the peer has been silent for an
// interval since it last spoke or was asked, and answers when it was last asked.
func (s *Session) enquire(asked time.Duration) time.Duration {
	now := s.age()
	quiet := now - max(asked, time.Duration(s.lastRead.Load()))
	if quiet < s.cfg.EnquireInterval {
		return asked
	}
	s.mu.Lock()
	seq := s.win.sequence()
	s.mu.Unlock()
	s.reply(AppendEmpty(nil, CommandEnquireLink, StatusOK, seq))
	return now
}
