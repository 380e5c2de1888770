package webhook

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Overlap of a rotation.
const (
	DefaultOverlap = 24 * time.Hour
	maxOverlap     = 7 * 24 * time.Hour
)

// Store keeps endpoints. Each change raises Registry's version in its transaction.
type Store interface {
	// Create keeps a new endpoint; errs.Exhausted (WEBHOOK_ENDPOINT_LIMIT) when the tenant has limit already.
	Create(ctx context.Context, e *Endpoint, limit int) error
	// Endpoint answers one; errs.NotFound (WEBHOOK_ENDPOINT_NOT_FOUND).
	Endpoint(ctx context.Context, at Place) (Endpoint, error)
	// Change lets change alter one under its row's lock, and keeps it unless change fails.
	Change(ctx context.Context, at Place, change func(*Endpoint) error) (Endpoint, error)
	// Remove deletes one with its deliveries that are not made.
	Remove(ctx context.Context, at Place) error
}

// Place names an endpoint of a tenant's environment.
type Place struct {
	Tenant   uuid.UUID
	Env      string
	Endpoint uuid.UUID
}

// Service makes and changes endpoints.
type Service struct {
	store  Store
	sealer Sealer
	guard  *Guard
	client *Client
	newID  func() uuid.UUID
	now    func() time.Time
}

// ServiceConfig is what a service works with.
type ServiceConfig struct {
	Store  Store
	Sealer Sealer
	Guard  *Guard
	Client *Client
	NewID  func() uuid.UUID // UUIDv7
	Now    func() time.Time
}

// NewService makes a service.
func NewService(cfg ServiceConfig) *Service {
	return &Service{cfg.Store, cfg.Sealer, cfg.Guard, cfg.Client, cfg.NewID, cfg.Now}
}

// Create makes an endpoint that is not verified, and answers its secret, this once.
func (s *Service) Create(ctx context.Context, tenant uuid.UUID, env string, w Wish) (e Endpoint, secret string, err error) {
	if w, err = w.check(s.guard); err != nil {
		return e, "", err
	}
	e = Endpoint{
		ID: s.newID(), Tenant: tenant, Env: env, URL: w.URL, Description: w.Description, Types: w.Types, Ed25519: w.Ed25519,
		Status: Pending, Created: s.now(),
	}
	keys, err := s.renew(ctx, &e)
	if err != nil {
		return e, "", err
	}
	return e, keys.Secret(), s.store.Create(ctx, &e, maxEndpoints)
}

// renew gives an endpoint new secrets.
func (s *Service) renew(ctx context.Context, e *Endpoint) (*Keys, error) {
	raw := make([]byte, keysSize)
	_, _ = rand.Read(raw) // never fails
	keys, err := keysOf(raw)
	if err != nil {
		return nil, err
	}
	e.Secret, err = s.sealer.Seal(ctx, nil, raw, binding(e))
	e.Public = keys.public()
	return keys, err
}

// Update replaces what a caller may set. Another URL makes the endpoint PENDING.
func (s *Service) Update(ctx context.Context, at Place, w Wish) (Endpoint, error) {
	w, err := w.check(s.guard)
	if err != nil {
		return Endpoint{}, err
	}
	return s.store.Change(ctx, at, func(e *Endpoint) error {
		if e.URL != w.URL {
			e.Status, e.DisableReason, e.Verified, e.FailingSince, e.Warned = Pending, "", time.Time{}, time.Time{}, false
		}
		e.URL, e.Description, e.Types, e.Ed25519 = w.URL, w.Description, w.Types, w.Ed25519
		return nil
	})
}

// Remove deletes an endpoint.
func (s *Service) Remove(ctx context.Context, at Place) error { return s.store.Remove(ctx, at) }

// Enable makes a disabled endpoint active again.
func (s *Service) Enable(ctx context.Context, at Place) (Endpoint, error) {
	return s.store.Change(ctx, at, func(e *Endpoint) error {
		if e.Verified.IsZero() {
			return errUnverified
		}
		e.Status, e.DisableReason, e.FailingSince, e.Warned = Active, "", time.Time{}, false
		return nil
	})
}

// Disable stops an endpoint.
func (s *Service) Disable(ctx context.Context, at Place) (Endpoint, error) {
	return s.store.Change(ctx, at, func(e *Endpoint) error {
		if e.Status != Disabled {
			e.Status, e.DisableReason = Disabled, ByCaller
		}
		return nil
	})
}

var errUnverified = errs.E(errs.Exists, "WEBHOOK_NOT_VERIFIED", "The endpoint has not been verified; call :verify first.", nil)

// Rotate gives an endpoint a new secret, answered this once; the old one signs too until the overlap ends.
func (s *Service) Rotate(ctx context.Context, at Place, overlap time.Duration) (e Endpoint, secret string, err error) {
	if overlap < 0 || overlap > maxOverlap {
		return e, "", &errs.Error{Kind: errs.Invalid, Reason: "REQUEST_INVALID", Message: "the request has invalid fields",
			Violations: []errs.Violation{{Field: "overlap", Reason: "OUT_OF_RANGE", Detail: "0 s to 7 days"}}}
	}
	if e, err = s.store.Endpoint(ctx, at); err != nil {
		return e, "", err
	}
	keys, err := s.renew(ctx, &e) // before the transaction: it may ask ingest for the tenant's key
	if err != nil {
		return e, "", err
	}
	sealed, public := e.Secret, e.Public
	e, err = s.store.Change(ctx, at, func(e *Endpoint) error {
		e.Previous, e.PreviousKey, e.PreviousUntil = nil, nil, time.Time{}
		if overlap > 0 {
			e.Previous, e.PreviousKey, e.PreviousUntil = e.Secret, e.Public, s.now().Add(overlap)
		}
		e.Secret, e.Public = sealed, public
		return nil
	})
	return e, keys.Secret(), err
}

// Verify posts a challenge and makes the endpoint active when it comes back.
func (s *Service) Verify(ctx context.Context, at Place) (Endpoint, error) {
	e, err := s.store.Endpoint(ctx, at)
	if err != nil {
		return e, err
	}
	id, challenge := s.newID(), rand.Text()
	content, err := json.Marshal(map[string]any{
		"type": "endpoint.verify", "timestamp": s.now().UTC().Format(time.RFC3339Nano), "eventId": id.String(),
		"env": strings.ToUpper(e.Env), "challenge": challenge,
	})
	if err != nil {
		return e, err
	}
	answer, err := s.post(ctx, &e, id, content)
	if err != nil {
		return e, err
	}
	if !answer.Delivered() || !echoes(answer.Body, challenge) {
		return e, challengeFailed(&answer)
	}
	return s.store.Change(ctx, at, func(now *Endpoint) error {
		if now.URL != e.URL {
			return errs.E(errs.Exists, "WEBHOOK_CHANGED", "The endpoint's URL was changed meanwhile; verify it again.", nil)
		}
		now.Verified, now.FailingSince, now.Warned = s.now(), time.Time{}, false
		now.Status, now.DisableReason = Active, ""
		return nil
	})
}

// echoes tells whether an answer is the challenge, alone or as {"challenge": …}.
func echoes(answer []byte, challenge string) bool {
	text := strings.TrimSpace(string(answer))
	var object struct{ Challenge string }
	if json.Unmarshal(answer, &object) == nil && object.Challenge != "" {
		text = object.Challenge
	}
	return subtle.ConstantTimeCompare([]byte(text), []byte(challenge)) == 1
}

func challengeFailed(a *Answer) error {
	e := errs.E(errs.Exists, "WEBHOOK_CHALLENGE_FAILED",
		`The endpoint must answer the challenge with 2xx and {"challenge": "…"} or the challenge alone.`, nil)
	e.Metadata = map[string]string{"http_status": strconv.Itoa(a.Status), "error": a.Error}
	if a.Delivered() {
		e.Metadata["error"] = "CHALLENGE_MISSING"
	}
	return e
}

// Test posts a test event, once.
func (s *Service) Test(ctx context.Context, at Place) (id uuid.UUID, a Answer, err error) {
	e, err := s.store.Endpoint(ctx, at)
	if err != nil {
		return id, a, err
	}
	if e.Verified.IsZero() { // it has not said that it wants anything of us
		return id, a, errUnverified
	}
	id = s.newID()
	content, err := body("webhook.test", id, e.Env, s.now(), map[string]string{"endpointId": e.ID.String()})
	if err != nil {
		return id, a, err
	}
	a, err = s.post(ctx, &e, id, content)
	return id, a, err
}

// post makes one signed attempt outside of the queue.
func (s *Service) post(ctx context.Context, e *Endpoint, id uuid.UUID, content []byte) (Answer, error) {
	now := s.now()
	o, err := open(ctx, s.sealer, e, now)
	if err != nil {
		return Answer{}, err
	}
	with := signed{keys: o.keys, previous: o.previous, asymmetric: e.Ed25519}
	header := make(http.Header, 9)
	with.sign(header, id, 1, now, content)
	return s.client.Post(ctx, e.URL, header, content), nil
}
