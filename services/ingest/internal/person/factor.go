package person

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// Codes uses second factors up.
type Codes interface {
	// UseStep notes that a code of step was taken; false when one of it or of a later step was before. It is committed when
	// it returns: of two that come at once one is right.
	UseStep(ctx context.Context, tenant, user uuid.UUID, step int64) (bool, error)
	// RecoveryCodes answers how many are left.
	RecoveryCodes(ctx context.Context, tenant, user uuid.UUID) (int, error)
	// UseRecoveryCode uses one up, committed when it returns; false when there is no such code, or it was used.
	UseRecoveryCode(ctx context.Context, tenant, user uuid.UUID, code RecoveryMAC) (bool, error)
}

// FactorStore is what second factors need of the database.
type FactorStore interface {
	Changes
	Codes
	Failures
	Attempts
	Session(ctx context.Context, id string) (Held, error)
}

// Factors keeps authenticators and recovery codes, and lets people show them.
type Factors struct {
	Store  FactorStore
	Vault  Vault
	Issuer *Issuer
	Forget func(tenant, user uuid.UUID) // see Sessions.Forget
	Now    func() time.Time
	Random io.Reader
}

var (
	errSecondFactor = errs.E(errs.Unauthenticated, "SECOND_FACTOR_INVALID", "the code is wrong, too old, or was used before", nil)
	errNotPending   = errs.E(errs.Exists, "SECOND_FACTOR_NOT_PENDING", "this session waits for no second factor", nil)
	errTOTPSet      = errs.E(errs.Exists, "TOTP_ALREADY_SET", "there is an authenticator already; remove it first", nil)
	errTOTPMissing  = errs.E(errs.Exists, "TOTP_NOT_SET", "no authenticator was set up", nil)
)

// UserOf is the id of the person who calls; Denied with SESSION_REQUIRED when it is a key.
func UserOf(p principal.Principal) (uuid.UUID, error) {
	id, err := uuid.Parse(strings.TrimPrefix(p.Actor, "user/"))
	if err != nil || p.Session == "" {
		return uuid.Nil, errs.E(errs.Denied, "SESSION_REQUIRED", "only a person can do this: log in, and send the session's token", nil)
	}
	return id, nil
}

// caller answers the user who calls, and his session.
func (f *Factors) caller(ctx context.Context, p principal.Principal) (User, Session, error) {
	id, err := UserOf(p)
	if err != nil {
		return User{}, Session{}, err
	}
	held, err := f.Store.Session(ctx, p.Session)
	if errs.KindOf(err) == errs.NotFound && err != nil {
		return User{}, Session{}, errSessionInvalid
	}
	if err != nil {
		return User{}, Session{}, err
	}
	u, err := f.Store.User(ctx, p.TenantID, id)
	return u, held.Session, err
}

// Verify shows the second factor, a code of the authenticator or a recovery code, and answers the session anew, with its
// rights and another token, and how many recovery codes are left. Errors: Unauthenticated with SECOND_FACTOR_INVALID,
// Exhausted with LOGIN_DELAYED, Exists with SECOND_FACTOR_NOT_PENDING.
func (f *Factors) Verify(ctx context.Context, p principal.Principal, code, recovery string, from Origin) (o Opened, left int, err error) {
	u, session, err := f.caller(ctx, p)
	if err != nil {
		return o, 0, err
	}
	if session.Stage != StagePending {
		return o, 0, errNotPending
	}
	method, shown := MethodTOTP, code
	if recovery != "" {
		method, shown = MethodRecoveryCode, recovery
	}
	a := newAttempt(&u, method, from, f.Now())
	target, err := f.try(ctx, &u, &a)
	if err != nil {
		return o, 0, err
	}
	right, err := f.show(ctx, &u, shown, method == MethodRecoveryCode)
	if err != nil {
		return o, 0, err
	}
	if !right {
		return o, 0, refuse(ctx, f.Store, a, "SECOND_FACTOR_INVALID", errSecondFactor)
	}
	if o, err = f.Issuer.begin(&u, StageComplete, from, &session); err != nil {
		return o, 0, err
	}
	if err := f.Store.RecordAttempt(ctx, &a, &Opening{Session: o.Session, Replaces: session.ID}); err != nil {
		return Opened{}, 0, err
	}
	f.Forget(u.Tenant, u.ID)
	if left, err = f.Store.RecoveryCodes(ctx, u.Tenant, u.ID); err != nil {
		return Opened{}, 0, err
	}
	return o, left, f.Store.ForgetTries(ctx, target)
}

// try counts a try at a code; one that comes too early is refused.
func (f *Factors) try(ctx context.Context, u *User, a *Attempt) (Target, error) {
	target := Target{u.Index, NetworkOf(a.Origin.Address), kindCode}
	tally, err := f.Store.CountTry(ctx, target, a.Time)
	if err != nil {
		return target, err
	}
	a.noteTries(target, tally)
	if tally.Wait > 0 {
		return target, refuse(ctx, f.Store, *a, "LOGIN_DELAYED", errDelayed(tally.Wait))
	}
	return target, nil
}

// show compares a code with the authenticator, or with the recovery codes, and uses it up.
func (f *Factors) show(ctx context.Context, u *User, code string, recovery bool) (bool, error) {
	if recovery {
		mac, err := recoveryMAC(f.Vault, u, code)
		if err != nil {
			return false, err
		}
		return f.Store.UseRecoveryCode(ctx, u.Tenant, u.ID, mac)
	}
	step, ok, err := f.matches(ctx, u, code)
	if !ok || err != nil {
		return false, err
	}
	return f.Store.UseStep(ctx, u.Tenant, u.ID, step)
}

// matches tells of which step of u's authenticator a code is.
func (f *Factors) matches(ctx context.Context, u *User, code string) (step int64, ok bool, err error) {
	if u.TOTP == nil {
		return 0, false, nil
	}
	seed, err := f.Vault.OpenLasting(ctx, u.Tenant, u.ID, u.TOTP)
	if err != nil {
		return 0, false, err
	}
	defer clear(seed)
	step, ok = matchTOTP(seed, strings.ReplaceAll(code, " ", ""), f.Now())
	return step, ok, nil
}

// Enrol makes the caller a new seed, in base32 and as otpauth URL. Exists with TOTP_ALREADY_SET when an authenticator
// counts already.
func (f *Factors) Enrol(ctx context.Context, p principal.Principal) (seed, link string, err error) {
	u, _, err := f.caller(ctx, p)
	if err != nil {
		return "", "", err
	}
	raw := make([]byte, seedBytes)
	if _, err := io.ReadFull(f.Random, raw); err != nil {
		return "", "", err
	}
	defer clear(raw)
	sealed, err := f.Vault.SealLasting(ctx, u.Tenant, u.ID, raw)
	if err != nil {
		return "", "", err
	}
	email, err := f.Vault.OpenLasting(ctx, u.Tenant, u.ID, u.Sealed)
	if err != nil {
		return "", "", err
	}
	_, err = f.Store.ChangeUser(ctx, u.Tenant, u.ID, func(u *User) (Effects, error) {
		if u.Confirmed {
			return Effects{}, errTOTPSet
		}
		u.TOTP = sealed
		return Effects{}, nil
	})
	return base32Plain.EncodeToString(raw), totpURL(raw, "OnlineSMS", string(email)), err
}

// Confirm makes the authenticator count, if code is of it. It answers the session anew, the caller's only one, and his
// recovery codes. Errors: those of Verify, and Exists with TOTP_ALREADY_SET or TOTP_NOT_SET.
func (f *Factors) Confirm(ctx context.Context, p principal.Principal, code string, from Origin) (o Opened, recovery []string, err error) {
	u, session, err := f.caller(ctx, p)
	if err != nil {
		return o, nil, err
	}
	target, step, err := f.proven(ctx, &u, code, from)
	if err != nil {
		return o, nil, err
	}
	recovery, stored, err := newRecoveryCodes(f.Vault, &u, f.Random)
	if err != nil {
		return o, nil, err
	}
	if o, err = f.Issuer.begin(&u, StageComplete, from, &session); err != nil {
		return o, nil, err
	}
	tried := u.TOTP
	_, err = f.Store.ChangeUser(ctx, u.Tenant, u.ID, func(u *User) (Effects, error) {
		switch {
		case u.Confirmed:
			return Effects{}, errTOTPSet
		case u.TOTP == nil:
			return Effects{}, errTOTPMissing
		case step <= u.Step || string(u.TOTP) != string(tried):
			return Effects{}, errSecondFactor
		}
		u.Confirmed, u.Step = true, step
		return Effects{EndSessions: true, Begin: &o.Session, ForgetCodes: true, Codes: stored}, nil
	})
	if err != nil {
		return Opened{}, nil, err
	}
	f.Forget(u.Tenant, u.ID)
	return o, recovery, f.Store.ForgetTries(ctx, target)
}

// proven counts a try and tells of which step code is.
func (f *Factors) proven(ctx context.Context, u *User, code string, from Origin) (Target, int64, error) {
	a := newAttempt(u, MethodTOTP, from, f.Now())
	target, err := f.try(ctx, u, &a)
	if err != nil {
		return target, 0, err
	}
	if u.TOTP == nil {
		return target, 0, errTOTPMissing
	}
	step, ok, err := f.matches(ctx, u, code)
	if err == nil && !ok {
		err = refuse(ctx, f.Store, a, "SECOND_FACTOR_INVALID", errSecondFactor)
	}
	return target, step, err
}

// Remove removes the caller's authenticator and recovery codes and ends all his sessions, if code is of either. Errors as
// for Verify, and Exists with TOTP_NOT_SET.
func (f *Factors) Remove(ctx context.Context, p principal.Principal, code string, from Origin) error {
	u, _, err := f.caller(ctx, p)
	if err != nil {
		return err
	}
	return f.withCode(ctx, &u, code, from, true, func(u *User) (Effects, error) { return dropFactors(u), nil })
}

// dropFactors takes a user his second factor.
func dropFactors(u *User) Effects {
	u.TOTP, u.Confirmed = nil, false
	return Effects{EndSessions: true, ForgetCodes: true}
}

// Renew replaces the caller's recovery codes, if code is of his authenticator. Errors as for Remove.
func (f *Factors) Renew(ctx context.Context, p principal.Principal, code string, from Origin) ([]string, error) {
	u, _, err := f.caller(ctx, p)
	if err != nil {
		return nil, err
	}
	shown, stored, err := newRecoveryCodes(f.Vault, &u, f.Random)
	if err != nil {
		return nil, err
	}
	err = f.withCode(ctx, &u, code, from, false, func(*User) (Effects, error) {
		return Effects{ForgetCodes: true, Codes: stored}, nil
	})
	return shown, err
}

// withCode changes a user who has shown a code.
func (f *Factors) withCode(ctx context.Context, u *User, code string, from Origin, recovery bool, change func(*User) (Effects, error)) error {
	if !u.Confirmed {
		return errTOTPMissing
	}
	a := newAttempt(u, MethodTOTP, from, f.Now())
	target, err := f.try(ctx, u, &a)
	if err != nil {
		return err
	}
	isCode := len(strings.ReplaceAll(code, " ", "")) == 6
	right, err := false, error(nil)
	if isCode || recovery {
		right, err = f.show(ctx, u, code, !isCode)
	}
	if err != nil {
		return err
	}
	if !right {
		return refuse(ctx, f.Store, a, "SECOND_FACTOR_INVALID", errSecondFactor)
	}
	if _, err := f.Store.ChangeUser(ctx, u.Tenant, u.ID, change); err != nil {
		return err
	}
	f.Forget(u.Tenant, u.ID)
	return f.Store.ForgetTries(ctx, target)
}
