package verification

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

const (
	// validityMargin keeps the message's validity below the code's: its clock starts a little later.
	validityMargin = time.Second
	// notePatience is how long noting a send may take after its caller is gone.
	notePatience = 5 * time.Second
)

// start is a call of Start on its way.
type start struct {
	*Request
	now     time.Time
	person  netip.Addr
	number  [16]byte
	outcome Outcome
	before  *Session // open session of the number and purpose; nil without one
	resend  bool     // before goes on
}

// Start sends a code: of a new session, or the next one of the session that is open for the number and purpose. Errors:
// Invalid with violations for a malformed request, Invalid with TEMPLATE_TYPE_MISMATCH for a template that is not
// transactional, Exhausted with OTP_RESEND_TOO_SOON, OTP_RESEND_LIMIT, OTP_NUMBER_LIMIT, OTP_ADDRESS_LIMIT,
// OTP_TENANT_LIMIT or OTP_PUMPING_SUSPECTED, Unavailable, and those of Accepter.Accept.
func (v *Service) Start(ctx context.Context, r Request) (View, error) {
	a := &start{Request: &r, now: v.Now().Truncate(time.Microsecond)}
	var err error
	if a.person, err = r.normal(a.now); err != nil {
		return View{}, err
	}
	if err := v.checkTemplate(ctx, &r); err != nil {
		return View{}, err
	}
	if err := v.findBefore(ctx, a); err != nil {
		return View{}, err
	}
	s, err := v.session(ctx, a)
	if err != nil {
		return View{}, err
	}
	code, err := v.encode(a, s)
	if err != nil {
		return View{}, err
	}
	if err := v.Store.Put(ctx, s, a.before); err != nil {
		return View{}, faster(err)
	}
	if err := v.send(ctx, a, s, code); err != nil {
		return View{}, err
	}
	return View{Session: *s, Status: s.Status(v.Now()), To: message.MaskNumber(r.To)}, nil
}

// checkTemplate wants a transactional template: codes go out by no other (DLT rules 4), and only those have the otp lane.
func (v *Service) checkTemplate(ctx context.Context, r *Request) error {
	transactional, err := v.Templates.Transactional(ctx, r.Tenant, r.TemplateID)
	if err != nil {
		return errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "the template's category is not known at present; nothing was sent", err)
	}
	if !transactional {
		return errs.E(errs.Invalid, "TEMPLATE_TYPE_MISMATCH", "codes are sent by transactional templates only; nothing was sent", nil)
	}
	return nil
}

// findBefore looks for an open session, and whether it may send another code.
func (v *Service) findBefore(ctx context.Context, a *start) (err error) {
	if a.number, err = v.Vault.Hash(a.Env, a.Tenant, a.To); err != nil {
		return err
	}
	a.outcome = outcomeOf(a.Env, a.To)
	before, err := v.Store.Open(ctx, a.Tenant, a.Env, a.number, a.Purpose)
	switch {
	case err != nil && errs.KindOf(err) == errs.NotFound:
		return nil
	case err != nil:
		return err
	}
	a.before, a.resend = &before, before.Status(a.now) == StatusPending
	if a.resend {
		return mayResend(&before, a.now)
	}
	return nil
}

// session makes what will be stored, its code aside, and pays for it.
func (v *Service) session(ctx context.Context, a *start) (*Session, error) {
	s := &Session{Place: message.Place{Env: a.Env, Tenant: a.Tenant}, State: StateOpen, Number: a.number, Purpose: a.Purpose, Create: a.now, Sends: 1}
	paid := false
	if a.resend {
		*s = *a.before
		if paid = s.Unsent; !paid {
			s.Sends++
		}
	}
	s.Sent, s.Expire = a.now, a.now.Add(*a.Validity)
	s.Unsent, s.Message = false, uuid.Nil
	if !paid {
		if err := v.pay(ctx, a, s); err != nil {
			return nil, err
		}
	}
	if a.resend {
		return s, nil
	}
	return s, v.identify(ctx, a, s)
}

// identify gives a new session its id, which tells nothing and cannot be guessed, and seals its number for it.
func (v *Service) identify(ctx context.Context, a *start, s *Session) (err error) {
	if s.ID, err = uuid.NewRandomFromReader(v.Random); err != nil {
		return err
	}
	if err := v.Vault.Prepare(ctx, s.Env, s.Tenant); err != nil {
		return err
	}
	s.Sealed, _, err = v.Vault.Seal(ctx, s.Place, &message.Message{To: a.To})
	return err
}

// pay counts the code against every limit.
func (v *Service) pay(ctx context.Context, a *start, s *Session) (err error) {
	switch a.outcome {
	case OutcomeLimited:
		return Charge{Kind: kindNumberHour}.Refusal(v.Limits.NumberHour.Period)
	case OutcomeSuspects:
		return pumping()
	}
	// +91 and six digits: the series an operator was given, or a part of it.
	if s.Range, err = v.Vault.Hash(a.Env, a.Tenant, "otp range "+a.To[:9]); err != nil {
		return err
	}
	charges, err := v.charges(a)
	if err != nil {
		return err
	}
	s.Suspected, err = v.Store.Spend(ctx, Spending{
		Tenant: a.Tenant, Env: a.Env, Now: a.now, Charges: charges,
		Range: s.Range, Budget: v.Limits.Budget, Exempt: a.outcome != OutcomeNone,
	})
	return err
}

func (v *Service) charges(a *start) ([]Charge, error) {
	charges := []Charge{{Kind: kindTenant, Limit: v.Limits.Tenant}}
	if a.outcome == OutcomeNone {
		charges = append(charges,
			Charge{Kind: kindNumberHour, Subject: a.number, Limit: v.Limits.NumberHour},
			Charge{Kind: kindNumberDay, Subject: a.number, Limit: v.Limits.NumberDay})
	}
	address := Charge{Kind: kindAddress, Limit: v.Limits.Address}
	from := network(a.person)
	if from == "" {
		address, from = Charge{Kind: kindCaller, Limit: v.Limits.Caller}, network(a.Caller)
	}
	if from == "" { // a call in memory
		return charges, nil
	}
	var err error
	address.Subject, err = v.Vault.Hash(a.Env, a.Tenant, "otp address "+from)
	return append(charges, address), err
}

// encode draws the session's code and stores its MAC in s.
func (v *Service) encode(a *start, s *Session) (code string, err error) {
	code, err = fixedCode(a.CodeLength), nil
	compared := code
	switch a.outcome {
	case OutcomeNone:
		code, err = newCode(v.Random, a.CodeLength)
		compared = code
	case OutcomeWrong:
		compared = "none" // no code is typed like that
	case OutcomeExpired:
		s.Expire = s.Sent
	}
	s.MAC, s.Pepper = v.Peppers.Hash(material(s.ID, s.Number, s.Purpose, compared))
	return code, err
}

// faster is the error of Put, where another call for the same number was stored first.
func faster(err error) error {
	if errs.KindOf(err) != errs.Exists {
		return err
	}
	return exhausted("OTP_RESEND_TOO_SOON", "another code is just being sent to this number; nothing was sent", resendDelay[1])
}

// send hands the code to the otp lane and notes what became of it.
func (v *Service) send(ctx context.Context, a *start, s *Session, code string) error {
	validity := max(message.MinValidity, s.Sent.Add(*a.Validity).Sub(v.Now())-validityMargin)
	answer, err := v.Accepter.Accept(ctx, message.Request{
		Tenant: a.Tenant, Env: a.Env, Single: true, Lane: message.LaneOTP, Trace: a.Trace,
		Drafts: []message.Draft{a.draft(s.ID, code, validity)},
	})
	if err == nil {
		s.Message = answer.Receipts[0].ID
	}
	if errs.KindOf(err) != errs.Unavailable { // else it is not known whether it was accepted
		v.note(ctx, s)
	}
	return err
}

// note keeps the message of a send, or that there is none. It is not worth failing for: the code is on its way, or its
// session can be asked for again after the delay.
func (v *Service) note(ctx context.Context, s *Session) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), notePatience)
	defer cancel()
	if err := v.Store.Sent(ctx, s.Place, s.Sends, s.Message); err != nil {
		v.Log.WarnContext(ctx, "message of a verification not noted", slog.String("error", err.Error()))
	}
}
