package errs

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestKindOf(t *testing.T) {
	inner := E(NotFound, "MESSAGE_NOT_FOUND", "no such message", io.EOF)
	tests := map[string]struct {
		err  error
		want Kind
	}{
		"nil":           {nil, Internal},
		"foreign":       {io.EOF, Internal},
		"direct":        {inner, NotFound},
		"wrapped":       {fmt.Errorf("read: %w", inner), NotFound},
		"joined":        {errors.Join(io.EOF, inner), NotFound},
		"outermost one": {E(Unavailable, "", "", inner), Unavailable},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := KindOf(test.err); got != test.want {
				t.Errorf("kind %d, want %d", got, test.want)
			}
		})
	}
}

func TestErrorIsForTheOperator(t *testing.T) {
	err := E(Denied, "SCOPE_MISSING", "the key lacks messages:send", io.ErrUnexpectedEOF)
	if got, want := err.Error(), "SCOPE_MISSING: the key lacks messages:send: unexpected EOF"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("the cause is lost")
	}
	if got, want := E(Denied, "SCOPE_MISSING", "no", nil).Error(), "SCOPE_MISSING: no"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
