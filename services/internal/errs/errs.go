// Package errs says what sort of failure an error is, so that each edge acts on the kind and not on the text.
//
// An error has two faces: Message is the sentence for the caller, Cause is for the operator's log and never leaves
// the process. Reason is the canonical code of the catalogue, the same in gRPC, JSON, webhook, console and audit.
package errs

import (
	"errors"
	"fmt"
)

// Kind is the sort of a failure. Two tables map it: rpc (gRPC code) and eventbus (verdict on an event).
type Kind uint8

// The kinds. Anything that is not an *Error is Internal.
const (
	Internal        Kind = iota // our fault; text withheld from callers
	Invalid                     // the input can never succeed as it is
	NotFound                    // what it names is not there (for the caller)
	Exists                      // it has been done, or the key is taken by something else
	Denied                      // known caller, not allowed
	Unauthenticated             // caller not known
	Exhausted                   // a limit of the caller's; retry later
	Unavailable                 // something we depend on is away; retry later
)

// Violation names one field that is wrong. Field is a path such as "messages[3].to".
type Violation struct {
	Field, Reason, Detail string
}

// Error is a failure with its kind and both faces.
type Error struct {
	Kind       Kind
	Reason     string            // canonical code, for example IDEMPOTENCY_KEY_REUSED; may be empty
	Message    string            // for the caller: what is wrong and what mends it; never a body, number or secret
	Metadata   map[string]string // facts for the caller beside the sentence
	Violations []Violation       // for Invalid: every field that is wrong
	Cause      error             // for the log only
}

// E makes an error of a kind from its reason, its sentence for the caller and its cause, which may be nil.
func E(kind Kind, reason, message string, cause error) *Error {
	return &Error{Kind: kind, Reason: reason, Message: message, Cause: cause}
}

// Error is the operator's face: reason, sentence and cause.
func (e *Error) Error() string {
	if e.Cause == nil {
		return fmt.Sprintf("%s: %s", e.Reason, e.Message)
	}
	return fmt.Sprintf("%s: %s: %v", e.Reason, e.Message, e.Cause)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// KindOf tells the kind of err: that of the outermost *Error in its chain, Internal without one.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}
