package message

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
)

// answers is a Registry that says what it is told to, and counts how often it is asked.
type answers struct {
	transactional bool
	err           error
	asked         int
}

func (a *answers) Transactional(context.Context, uuid.UUID, string) (bool, error) {
	a.asked++
	return a.transactional, a.err
}

// Who must know is told the registry's error, never a guess; what was known is believed while the registry is away.
func TestTransactionalForCertain(t *testing.T) {
	now, registry := time.Now(), &answers{err: errors.New("away")}
	c := NewCategories(registry, func() time.Time { return now })
	if _, err := c.Transactional(t.Context(), uuid.Nil, "t"); err == nil {
		t.Error("a guess while the registry is away")
	}
	if lane := c.Lane(t.Context(), uuid.Nil, "t"); lane != LaneInteractive {
		t.Errorf("lane %s", lane)
	}
	now = now.Add(2 * categoryRetry)
	registry.transactional, registry.err = true, nil
	for range 3 {
		if is, err := c.Transactional(t.Context(), uuid.Nil, "t"); !is || err != nil {
			t.Errorf("%v, %v", is, err)
		}
	}
	if registry.asked != 3 { // twice while away: by the memory and for certain
		t.Errorf("asked %d times", registry.asked)
	}
	now, registry.err = now.Add(2*categoryTTL), errors.New("away")
	if is, err := c.Transactional(t.Context(), uuid.Nil, "t"); !is || err != nil {
		t.Errorf("what was known: %v, %v", is, err)
	}
}
