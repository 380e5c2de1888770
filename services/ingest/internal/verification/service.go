package verification

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Sessions finds sessions and ends them.
type Sessions interface {
	// Get answers a session; errs.NotFound (VERIFICATION_NOT_FOUND) when it is not there or somebody else's.
	Get(ctx context.Context, at message.Place) (Session, error)
	// Open answers the session of a number and purpose in StateOpen, be it expired or failed; errs.NotFound without one.
	Open(ctx context.Context, tenant uuid.UUID, env string, number [16]byte, purpose string) (Session, error)
	// Cancel moves a session from StateOpen to StateCancelled and answers it; errs.NotFound when it is not open.
	Cancel(ctx context.Context, at message.Place) (Session, error)
}

// Sends keeps what was sent, durably.
type Sends interface {
	// Spend takes all charges, counts a code sent to the range and answers whether the range is suspected; or it takes
	// nothing and answers Charge.Refusal or the error of Spending.Suspect.
	Spend(ctx context.Context, s Spending) (suspected bool, err error)
	// Put stores s with a new code. Where before is a session it replaces that: as its next code when it has the same
	// id, else by closing it. errs.Exists when another call was faster; then nothing is stored.
	Put(ctx context.Context, s *Session, before *Session) error
	// Sent notes the message that carried a session's code number sends; zero notes that it certainly did not leave.
	Sent(ctx context.Context, at message.Place, sends int, carried uuid.UUID) error
}

// Checks counts codes before they are compared.
type Checks interface {
	// Count takes one check of an open, unexpired session that has one left, and answers the session with it taken, once
	// that is durable. errs.NotFound when there is none such. However many call at once, MaxChecks get a session.
	Count(ctx context.Context, at message.Place, now time.Time) (Session, error)
	// Use moves a session whose code is still that of s from StateOpen to StateVerified, durably, and counts its range's
	// success. It answers false when it is not open any more or has another code.
	Use(ctx context.Context, s *Session, now time.Time) (bool, error)
}

// Store keeps sessions.
type Store interface {
	Sessions
	Sends
	Checks
}

// Vault seals numbers and makes keyed hashes; see content.Vault.
type Vault interface {
	message.Vault
	Open(ctx context.Context, at message.Place, sealed []byte) (to, text string, err error)
}

// Accepter accepts messages; see message.Accepter.
type Accepter interface {
	Accept(ctx context.Context, r message.Request) (message.Answer, error)
}

// Templates tells whether a template is transactional; Unavailable when it is not known now.
type Templates interface {
	Transactional(ctx context.Context, tenant uuid.UUID, templateID string) (bool, error)
}

// Config joins a Service to its surroundings.
type Config struct {
	Store     Store
	Vault     Vault
	Accepter  Accepter
	Templates Templates
	Peppers   Peppers
	Limits    Limits
	Random    io.Reader // crypto/rand.Reader
	Now       func() time.Time
	Log       *slog.Logger
}

// Service starts, checks and ends sessions; see the package comment for what they promise.
type Service struct{ Config }

// New makes a Service.
func New(cfg Config) *Service {
	cfg.Limits = cfg.Limits.WithDefaults()
	return &Service{cfg}
}

// Check compares a code as it was typed; purpose may be empty. It answers the session after the check. Errors: Invalid
// for what cannot be a code (nothing is counted), NotFound, Exists (OTP_USED, OTP_CANCELLED, OTP_EXPIRED,
// OTP_CHECKS_EXHAUSTED) when the session takes no check.
func (v *Service) Check(ctx context.Context, at message.Place, code, purpose string) (view View, valid bool, err error) {
	code, ok := typed(code)
	if !ok {
		return view, false, &errs.Error{
			Kind: errs.Invalid, Reason: "REQUEST_INVALID", Message: "the request is malformed; no check was counted",
			Violations: []errs.Violation{{Field: "code", Reason: "FORMAT", Detail: "4 to 10 digits"}},
		}
	}
	s, err := v.Store.Count(ctx, at, v.Now())
	if err != nil {
		return view, false, v.whyNot(ctx, at, err)
	}
	if purpose == "" {
		purpose = s.Purpose
	}
	if v.Peppers.Matches(material(s.ID, s.Number, purpose, code), s.MAC, s.Pepper) {
		if valid, err = v.Store.Use(ctx, &s, v.Now()); err != nil {
			return view, false, err
		}
		if !valid { // another check or a cancellation was faster, or a newer code is on its way
			return view, false, v.whyNot(ctx, at, errs.E(errs.NotFound, "", "", nil))
		}
		s.State = StateVerified
	}
	return v.view(ctx, &s), valid, nil
}

// whyNot explains errs.NotFound of a change to a session by what the session is now.
func (v *Service) whyNot(ctx context.Context, at message.Place, err error) error {
	if errs.KindOf(err) != errs.NotFound {
		return err
	}
	s, err := v.Store.Get(ctx, at)
	if err != nil {
		return err
	}
	return s.over(v.Now())
}

// Cancel ends a session; one that was cancelled before is answered again. Errors: NotFound, Exists with OTP_USED,
// OTP_EXPIRED or OTP_CHECKS_EXHAUSTED for one that ended otherwise.
func (v *Service) Cancel(ctx context.Context, at message.Place) (View, error) {
	s, err := v.Store.Cancel(ctx, at)
	if err != nil && errs.KindOf(err) == errs.NotFound {
		if s, err = v.Store.Get(ctx, at); err == nil && s.State != StateCancelled {
			err = s.over(v.Now())
		}
	}
	if err != nil {
		return View{}, err
	}
	return v.view(ctx, &s), nil
}

// Get answers a session; errs.NotFound when it is not there or somebody else's.
func (v *Service) Get(ctx context.Context, at message.Place) (View, error) {
	s, err := v.Store.Get(ctx, at)
	if err != nil {
		return View{}, err
	}
	return v.view(ctx, &s), nil
}

// view shows a session. A number that cannot be opened now is hidden whole: the answer must not fail for it after a
// check was counted.
func (v *Service) view(ctx context.Context, s *Session) View {
	to, _, err := v.Vault.Open(ctx, s.Place, s.Sealed)
	if err != nil {
		to = ""
	}
	return View{Session: *s, Status: s.Status(v.Now()), To: message.MaskNumber(to)}
}
