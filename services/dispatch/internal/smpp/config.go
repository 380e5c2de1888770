package smpp

import (
	"cmp"
	"context"
	"errors"
	"net"
	"time"
)

// Config describes one bind. Zero values mean the defaults given.
type Config struct {
	// Dial opens the connection, with TLS where the operator wants it.
	Dial func(ctx context.Context) (net.Conn, error)
	// Bind is the request sent first.
	Bind Bind
	// Window is how many submits may be unanswered at once, 1..65536; default
	// 100. The operator's contract sets it.
	Window int
	// SubmitTimeout is how long an answer is waited for; default 30 s. After it
	// the outcome is TimedOut, and the slot is free.
	SubmitTimeout time.Duration
	// LateFor is how long a late answer is still matched; default 10 min.
	LateFor time.Duration
	// EnquireInterval is the silence after which an enquire_link is sent;
	// default 30 s.
	EnquireInterval time.Duration
	// ReadTimeout is the silence that ends the session; default three times
	// EnquireInterval and 10 s.
	ReadTimeout time.Duration
	// WriteTimeout bounds one write; default 30 s.
	WriteTimeout time.Duration
	// BindTimeout bounds dialling and binding together; default 10 s.
	BindTimeout time.Duration
	// MaxDeliveries is how many deliver_sm may wait for Respond; default 10,000.
	// One more is answered 0x64 (temporary), and the SMSC sends it again.
	MaxDeliveries int
	// OnResults takes answers, timeouts and losses, each submission exactly once
	// (and once more when Late). Calls never overlap. The slice is reused; the
	// strings may be kept. It runs on the reading goroutine: while it blocks,
	// nothing is read. Required for Transceiver and Transmitter.
	OnResults func(s *Session, results []Result)
	// OnDeliveries takes deliver_sm, receipts and messages alike. Everything in
	// the slice may be kept until Respond and after. It runs on the reading
	// goroutine too. Required for Transceiver and Receiver.
	OnDeliveries func(s *Session, batch []Delivery)
}

// Bounds of Config.Window.
const (
	defaultWindow = 100
	maxWindow     = 1 << 16
)

// withDefaults returns the configuration with every zero value filled.
func (c Config) withDefaults() Config {
	c.Window = cmp.Or(c.Window, defaultWindow)
	c.SubmitTimeout = cmp.Or(c.SubmitTimeout, 30*time.Second)
	c.LateFor = cmp.Or(c.LateFor, 10*time.Minute)
	c.EnquireInterval = cmp.Or(c.EnquireInterval, 30*time.Second)
	c.ReadTimeout = cmp.Or(c.ReadTimeout, 3*c.EnquireInterval+10*time.Second)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, 30*time.Second)
	c.BindTimeout = cmp.Or(c.BindTimeout, 10*time.Second)
	c.MaxDeliveries = cmp.Or(c.MaxDeliveries, 10_000)
	return c
}

// validate says what is wrong with a configuration that has its defaults.
func (c *Config) validate() error {
	switch {
	case c.Dial == nil:
		return errors.New("smpp: config without Dial")
	case c.Window < 1 || c.Window > maxWindow:
		return errors.New("smpp: window outside 1..65536")
	case c.Bind.Kind > Receiver:
		return errors.New("smpp: unknown bind kind")
	case c.OnResults == nil && c.Bind.Kind != Receiver:
		return errors.New("smpp: config without OnResults")
	case c.OnDeliveries == nil && c.Bind.Kind != Transmitter:
		return errors.New("smpp: config without OnDeliveries")
	}
	return nil
}
