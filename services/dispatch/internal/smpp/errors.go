package smpp

import (
	"errors"
	"fmt"
)

// Errors a Session answers. None of them carries a value from a PDU.
var (
	// ErrClosed says that the session has ended; see Session.Err for the cause.
	ErrClosed = errors.New("smpp: session closed")
	// ErrDraining says that Close was called: no new submissions.
	ErrDraining = errors.New("smpp: session draining")
	// ErrNoSlots says that a batch is larger than the slots acquired for it.
	ErrNoSlots = errors.New("smpp: more submissions than acquired window slots")
	// ErrUnbound says that the peer sent unbind.
	ErrUnbound = errors.New("smpp: peer unbound")
	// ErrSilent says that the peer sent nothing within ReadTimeout, not even an
	// enquire_link_resp: the connection is half open.
	ErrSilent = errors.New("smpp: peer silent, connection half open")
	// ErrNotReceipt says that a deliver_sm is not an SMSC delivery receipt.
	ErrNotReceipt = errors.New("smpp: not a delivery receipt")
	// ErrReceiptID says that a receipt names no message id, in TLV or in text.
	ErrReceiptID = errors.New("smpp: delivery receipt without message id")
)

// LengthError is a command_length that cannot be (SMPP 3.4 §3.2): the stream
// has lost its framing and must be closed.
type LengthError struct {
	Length uint32 // octets, as read
}

// Error implements error.
func (e *LengthError) Error() string {
	return fmt.Sprintf("smpp: command_length %d outside %d..%d", e.Length, headerLen, MaxPDU)
}

// DecodeError is a body that does not follow its command's layout.
type DecodeError struct {
	Command CommandID
	Field   string // as the specification names it
	Offset  int    // octets from the start of the body
	Reason  Status // what to answer: 0x01, 0xC0 or 0xC2
}

// Error implements error.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("smpp: %v: field %s at octet %d: %v", e.Command, e.Field, e.Offset, e.Reason)
}

// FieldError is a value that a PDU cannot carry; nothing was encoded.
type FieldError struct {
	Field string // as the specification names it
	Len   int    // octets given
	Max   int    // octets allowed, without the terminating NUL
}

// Error implements error.
func (e *FieldError) Error() string {
	return fmt.Sprintf("smpp: field %s: %d octets or a NUL inside, at most %d", e.Field, e.Len, e.Max)
}

// BindError is a bind the peer answered with an error status.
type BindError struct {
	Status Status
}

// Error implements error.
func (e *BindError) Error() string { return fmt.Sprintf("smpp: bind refused: %v", e.Status) }

// Fatal reports whether the refusal is a matter of configuration and will not
// mend by itself; see Status.BindRefused.
func (e *BindError) Fatal() bool { return e.Status.BindRefused() }
