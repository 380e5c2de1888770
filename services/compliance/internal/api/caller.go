package api

import (
	"context"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// Scopes a key needs; the door has checked them, and they are checked again.
const (
	scopeRead          = "decisions:read"
	scopeScrub         = "messages:scrub"
	scopeRegistryRead  = "registry:read"
	scopeRegistryWrite = "registry:write"
)

// caller is who calls, if he may.
func caller(ctx context.Context, scope string) (principal.Principal, error) {
	p, ok := principal.FromContext(ctx)
	if !ok {
		return p, errNoPrincipal
	}
	if !p.Has(scope) {
		return p, errs.E(errs.Denied, "SCOPE_MISSING", "The key lacks the scope "+scope+".", nil)
	}
	return p, nil
}

// writer is who may change a registry. Both environments share it, so a test key must not: it would decide about live
// messages.
func writer(ctx context.Context) (principal.Principal, error) {
	p, err := caller(ctx, scopeRegistryWrite)
	if err == nil && p.Env != principal.Live {
		err = errs.E(errs.Denied, "LIVE_KEY_REQUIRED", "Both environments share the registry; change it with a live key.", nil)
	}
	return p, err
}

func invalid(field, detail string) error {
	return violated(errs.Violation{Field: field, Reason: "REQUEST_INVALID", Detail: detail})
}

func violated(violations ...errs.Violation) error {
	e := errs.E(errs.Invalid, "REQUEST_INVALID", "The request is not valid.", nil)
	e.Violations = violations
	return e
}

func violation(field, reason, detail string) errs.Violation {
	return errs.Violation{Field: field, Reason: reason, Detail: detail}
}
