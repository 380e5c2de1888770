package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

func TestCodeByKind(t *testing.T) {
	table := map[errs.Kind]codes.Code{
		errs.Internal:        codes.Internal,
		errs.Invalid:         codes.InvalidArgument,
		errs.NotFound:        codes.NotFound,
		errs.Exists:          codes.AlreadyExists,
		errs.Denied:          codes.PermissionDenied,
		errs.Unauthenticated: codes.Unauthenticated,
		errs.Exhausted:       codes.ResourceExhausted,
		errs.Unavailable:     codes.Unavailable,
	}
	if len(table) != int(errs.Unavailable)+1 {
		t.Error("a kind is missing")
	}
	for kind, code := range table {
		err := errs.E(kind, "REASON", "sentence", io.EOF)
		if got := Status(fmt.Errorf("wrapped: %w", err)).Code(); got != code {
			t.Errorf("kind %d is %s, want %s", kind, got, code)
		}
		if got := errs.KindOf(FromStatus(status.Error(code, ""))); got != kind {
			t.Errorf("%s is kind %d, want %d", code, got, kind)
		}
	}
}

func TestCodesOfOtherErrors(t *testing.T) {
	tests := map[codes.Code]error{
		codes.OK:               nil,
		codes.Canceled:         fmt.Errorf("read: %w", context.Canceled),
		codes.DeadlineExceeded: fmt.Errorf("read: %w", context.DeadlineExceeded),
		codes.Unimplemented:    status.Error(codes.Unimplemented, "unknown method"),
		codes.Internal:         io.EOF,
		codes.Unavailable:      errs.E(errs.Unavailable, "", "", context.DeadlineExceeded), // the kind wins
	}
	for code, err := range tests {
		if got := Status(err).Code(); got != code {
			t.Errorf("%v is %s, want %s", err, got, code)
		}
	}
	// A status met on the way is no answer of ours unless it is passed on as it is.
	if got := Status(fmt.Errorf("asking: %w", status.Error(codes.NotFound, "x"))).Code(); got != codes.Internal {
		t.Errorf("a wrapped status is %s", got)
	}
}

func TestErrorThereAndBack(t *testing.T) {
	want := &errs.Error{
		Kind: errs.Invalid, Reason: "REQUEST_INVALID", Message: "two fields are wrong",
		Metadata: map[string]string{"limit": "1000"},
		Violations: []errs.Violation{
			{Field: "messages[3].to", Reason: "RECIPIENT_INVALID", Detail: "not a mobile number of India"},
			{Field: "messages[7].header", Reason: "HEADER_FORMAT", Detail: "six letters"},
		},
	}
	sent := Status(want).Err()
	got, ok := errors.AsType[*errs.Error](FromStatus(sent))
	if !ok || !errors.Is(got, sent) {
		t.Fatalf("came back as %v", got)
	}
	got.Cause = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-sent +received):\n%s", diff)
	}
	if again := FromStatus(error(got)); !errors.Is(again, got) {
		t.Error("an error of ours is changed")
	}
	if FromStatus(nil) != nil {
		t.Error("nil became an error")
	}
}

func TestInternalErrorsAreWithheld(t *testing.T) {
	secret := errs.E(errs.Internal, "DB_BROKEN", "table messages is gone", errors.New("password=hunter2"))
	secret.Metadata = map[string]string{"host": "db7"}
	for _, err := range []error{secret, errors.New("password=hunter2"), fmt.Errorf("x: %w", secret)} {
		text := Status(err).Proto().String()
		for _, word := range []string{"hunter2", "table", "DB_BROKEN", "db7"} {
			if strings.Contains(text, word) {
				t.Errorf("%q in %s", word, text)
			}
		}
	}
	if text := Status(errs.E(errs.Denied, "R", "sentence", errors.New("cause"))).Proto().String(); strings.Contains(text, "cause") {
		t.Errorf("the cause leaves: %s", text)
	}
}

func TestRetryInfo(t *testing.T) {
	after := func(kind errs.Kind, metadata map[string]string) time.Duration {
		for _, detail := range Status(&errs.Error{Kind: kind, Metadata: metadata}).Details() {
			if info, ok := detail.(*errdetails.RetryInfo); ok {
				return info.GetRetryDelay().AsDuration()
			}
		}
		return 0
	}
	for _, kind := range []errs.Kind{errs.Unavailable, errs.Exhausted} {
		if got := after(kind, nil); got != time.Second {
			t.Errorf("kind %d: %s", kind, got)
		}
		if got := after(kind, map[string]string{RetryAfter: "250ms"}); got != 250*time.Millisecond {
			t.Errorf("kind %d: %s", kind, got)
		}
	}
	if got := after(errs.Invalid, nil); got != 0 {
		t.Errorf("Invalid is to be retried after %s", got)
	}
}

func TestViolationsFitIntoAHeader(t *testing.T) {
	e := errs.E(errs.Invalid, "REQUEST_INVALID", "all are wrong", nil)
	for i := range 1000 {
		e.Violations = append(e.Violations, errs.Violation{
			Field: fmt.Sprintf("messages[%d].to", i), Reason: "RECIPIENT_INVALID", Detail: "not a mobile number of India"})
	}
	st := Status(e)
	if size := proto.Size(st.Proto()); size > 6<<10 {
		t.Errorf("%d bytes", size)
	}
	back, _ := errors.AsType[*errs.Error](FromStatus(st.Err()))
	if n := len(back.Violations); n < 50 || back.Metadata["violations_omitted"] != fmt.Sprint(1000-n) {
		t.Errorf("%d violations, %v", n, back.Metadata)
	}
	if e.Metadata != nil {
		t.Error("the error was changed")
	}
}

func BenchmarkStatus(b *testing.B) {
	err := errs.E(errs.NotFound, "MESSAGE_NOT_FOUND", "no such message", nil)
	b.ReportAllocs()
	for b.Loop() {
		Status(err)
	}
}
