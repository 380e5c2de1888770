package smsc

import (
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/smpp"
)

// Sizes of a connection's buffers, in octets.
const (
	readBuffer = 256 << 10
	maxOutput  = 4 << 20 // unread output beyond which no more is read
)

// writeTimeout frees a connection whose peer stopped reading.
const writeTimeout = 30 * time.Second

// conn is one connection. The fields from account on are guarded by Server.mu.
type conn struct {
	nc net.Conn
	r  *smpp.Reader
	w  *smpp.Writer

	account     *account // nil until bound
	kind        smpp.BindKind
	seq         uint32
	out         []byte // to be appended to w
	dirty       bool   // is in Server.dirty
	closed      bool
	unanswered  int // accepted submits whose answer is still on the agenda
	outstanding map[uint32]*delivery
}

func (c *conn) sequence() uint32 {
	if c.seq++; c.seq > smpp.MaxSequence {
		c.seq = 1
	}
	return c.seq
}

// serveConn reads until the peer goes; then what it did not acknowledge becomes
// ready again.
func (s *Server) serveConn(nc net.Conn) {
	c := &conn{
		nc: nc, r: smpp.NewReader(nc, readBuffer), w: smpp.NewWriter(nc, writeTimeout),
		outstanding: map[uint32]*delivery{},
	}
	s.add(c)
	written := make(chan struct{})
	go func() {
		defer close(written)
		if c.w.Run() != nil {
			_ = nc.Close() // ends the reader
		}
	}()
	err := s.read(c)
	c.w.Stop()
	if errors.Is(err, errUnbound) {
		<-written // the answer to unbind
	}
	_ = nc.Close() // done with it either way
	<-written
	s.remove(c)
}

func (s *Server) add(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = struct{}{}
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.closed = true
	delete(s.conns, c)
	if c.account == nil {
		return
	}
	c.account.drop(c)
	for _, d := range c.outstanding {
		s.resend(d)
	}
	s.pump(c.account)
	s.flush()
	s.log.Info("unbound", slog.String("system_id", c.account.systemID), slog.String("bind", c.kind.String()))
}

func (a *account) drop(c *conn) {
	for i, other := range a.receivers {
		if other == c {
			a.receivers = append(a.receivers[:i], a.receivers[i+1:]...)
			return
		}
	}
}

// errUnbound ends a connection in good order.
var errUnbound = errors.New("smsc: unbound")

// read handles everything one read brought under one lock.
func (s *Server) read(c *conn) error {
	for {
		frame, err := c.r.Next()
		if err != nil {
			return err
		}
		if err := s.handleAll(c, frame); err != nil {
			return err
		}
		c.w.Wait(maxOutput)
	}
}

func (s *Server) handleAll(c *conn, frame []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		err := s.handle(c, frame)
		if err == nil && c.r.Ready() {
			if frame, err = c.r.Next(); err == nil {
				continue
			}
		}
		if c.account != nil {
			s.pump(c.account)
		}
		s.markDirty(c)
		s.flush()
		return err
	}
}

// handle does one PDU. An error ends the connection.
func (s *Server) handle(c *conn, frame []byte) error {
	h := smpp.ParseHeader(frame)
	if s.knobs.Mute && c.account != nil {
		return nil
	}
	if _, ok := smpp.BindKindOf(h.Command); ok {
		return s.bind(c, h, smpp.FrameBody(frame))
	}
	switch h.Command {
	case smpp.CommandSubmitSM:
		s.submit(c, h, frame)
	case smpp.CommandDeliverSMResp:
		s.acknowledged(c, h)
	case smpp.CommandEnquireLink:
		c.out = smpp.AppendEmpty(c.out, smpp.CommandEnquireLinkResp, smpp.StatusOK, h.Sequence)
	case smpp.CommandUnbind:
		c.out = smpp.AppendEmpty(c.out, smpp.CommandUnbindResp, smpp.StatusOK, h.Sequence)
		return errUnbound
	case smpp.CommandUnbindResp:
		return errUnbound
	default:
		if !h.Command.Response() {
			c.out = smpp.AppendEmpty(c.out, smpp.CommandGenericNack, smpp.StatusInvCmdID, h.Sequence)
		}
	}
	return nil
}

// bind checks a bind request (SMPP 3.4 §4.1). A refused peer may try again on
// the same connection.
func (s *Server) bind(c *conn, h smpp.Header, body []byte) error {
	var request smpp.Bind
	decodeErr := request.Decode(h.Command, body)
	kind, _ := smpp.BindKindOf(h.Command)
	a := s.accounts[request.SystemID]
	status := smpp.StatusOK
	switch {
	case s.knobs.RefuseBinds != smpp.StatusOK:
		status = s.knobs.RefuseBinds
	case decodeErr != nil:
		status = smpp.StatusBindFail
	case c.account != nil:
		status = smpp.StatusAlreadyBound
	case a == nil:
		status = smpp.StatusInvSysID
	case a.password != request.Password:
		status = smpp.StatusInvPaswd
	default:
		c.account, c.kind = a, kind
		s.bound++
		if kind != smpp.Transmitter {
			a.receivers = append(a.receivers, c)
		}
	}
	resp := smpp.BindResp{SystemID: "smscsim"}
	if request.InterfaceVersion >= smpp.InterfaceVersion {
		resp.TLVs = smpp.AppendTLV(nil, smpp.TagSCInterfaceVersion, []byte{smpp.InterfaceVersion})
	}
	var err error
	c.out, err = resp.AppendTo(c.out, kind, status, h.Sequence)
	s.log.Info("bind", slog.String("system_id", request.SystemID), slog.String("bind", kind.String()),
		slog.String("status", status.String()))
	return err
}

// markDirty notes that a connection has output.
func (s *Server) markDirty(c *conn) {
	if !c.dirty {
		c.dirty = true
		s.dirty = append(s.dirty, c)
	}
}

// flush hands all output to the writers: once for everything done under one
// lock.
func (s *Server) flush() {
	for i, c := range s.dirty {
		if len(c.out) > 0 {
			_, _ = c.w.Append(c.out) // a dead connection is its reader's matter
		}
		c.out, c.dirty = c.out[:0], false
		s.dirty[i] = nil
	}
	s.dirty = s.dirty[:0]
}
