package message

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Lanes as they stand in subjects (design decision 6).
const (
	LaneOTP         = "otp"
	LaneInteractive = "interactive"
	LaneBulk        = "bulk"
)

// Lanes are all lanes a message can have.
var Lanes = []string{LaneOTP, LaneInteractive, LaneBulk}

// Registry answers whether a template is registered as transactional. It is asked once a minute and template, with a
// short deadline: the lane is a matter of priority, and no send waits long or fails for it.
type Registry interface {
	Transactional(ctx context.Context, tenant uuid.UUID, templateID string) (bool, error)
}

// How long an answer is believed, how long a failure keeps us from asking again, and how long a send waits.
const (
	categoryTTL      = time.Minute
	categoryRetry    = time.Second
	categoryPatience = 100 * time.Millisecond
	categoryEntries  = 20000 // of some 150 bytes: 3 MiB
)

// Categories remembers which templates are transactional.
type Categories struct {
	registry Registry
	now      func() time.Time

	mu    sync.Mutex
	known map[template]*category
}

type template struct {
	tenant uuid.UUID
	id     string
}

type category struct {
	transactional bool
	sure          bool // it was answered once
	until         time.Time
	asking        bool
}

// NewCategories makes an empty memory before registry.
func NewCategories(registry Registry, now func() time.Time) *Categories {
	return &Categories{registry: registry, now: now, known: map[template]*category{}}
}

// Lane picks the lane of a single send: otp for transactional templates, else interactive. What was known is believed
// while the registry is away or being asked.
func (c *Categories) Lane(ctx context.Context, tenant uuid.UUID, templateID string) string {
	if c.transactional(ctx, template{tenant, templateID}) {
		return LaneOTP
	}
	return LaneInteractive
}

func (c *Categories) transactional(ctx context.Context, t template) bool {
	c.mu.Lock()
	known, ok := c.known[t]
	if !ok {
		if len(c.known) >= categoryEntries {
			clear(c.known)
		}
		known = &category{}
		c.known[t] = known
	}
	if known.asking || c.now().Before(known.until) {
		defer c.mu.Unlock()
		return known.transactional
	}
	known.asking = true
	c.mu.Unlock()
	return c.ask(ctx, t, known)
}

func (c *Categories) ask(ctx context.Context, t template, known *category) bool {
	ctx, cancel := context.WithTimeout(ctx, categoryPatience)
	defer cancel()
	transactional, err := c.registry.Transactional(ctx, t.tenant, t.id)
	c.mu.Lock()
	defer c.mu.Unlock()
	known.asking = false
	if err != nil {
		known.until = c.now().Add(categoryRetry)
		return known.transactional
	}
	known.transactional, known.sure, known.until = transactional, true, c.now().Add(categoryTTL)
	return transactional
}

// Transactional tells whether the template is transactional, for those who must know: the registry is asked when there is
// no answer to believe, and its error is the answer then.
func (c *Categories) Transactional(ctx context.Context, tenant uuid.UUID, templateID string) (bool, error) {
	t := template{tenant, templateID}
	c.transactional(ctx, t)
	c.mu.Lock()
	known, ok := c.known[t]
	sure := ok && known.sure
	transactional := sure && known.transactional
	c.mu.Unlock()
	if sure {
		return transactional, nil
	}
	return c.registry.Transactional(ctx, tenant, templateID)
}
