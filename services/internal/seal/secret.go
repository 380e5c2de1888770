package seal

import (
	"fmt"
	"log/slog"
)

// Content is plain content in memory. However it is printed, logged or marshalled, only its length shows.
type Content []byte

// Secret is a credential in memory. However it is printed, logged or marshalled, only its length shows; string(s) is
// the credential.
type Secret string

func redacted(n int) string { return fmt.Sprintf("[redacted len=%d]", n) }

// String answers "[redacted len=N]".
func (c Content) String() string { return redacted(len(c)) }

// Format writes "[redacted len=N]" for every verb, %x and %#v among them.
func (c Content) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted(len(c))) }

// LogValue answers "[redacted len=N]".
func (c Content) LogValue() slog.Value { return slog.StringValue(redacted(len(c))) }

// MarshalText answers "[redacted len=N]", in JSON too.
func (c Content) MarshalText() ([]byte, error) { return []byte(redacted(len(c))), nil }

// String answers "[redacted len=N]".
func (s Secret) String() string { return redacted(len(s)) }

// Format writes "[redacted len=N]" for every verb, %x and %#v among them.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted(len(s))) }

// LogValue answers "[redacted len=N]".
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted(len(s))) }

// MarshalText answers "[redacted len=N]", in JSON too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted(len(s))), nil }
