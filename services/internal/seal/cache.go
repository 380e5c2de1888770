package seal

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	// holdTime is how long an unwrapped key may be used before it is fetched and unwrapped again.
	holdTime = time.Hour
	// loadBound ends a look-up whose callers have all gone.
	loadBound = 10 * time.Second
)

// cache holds values for holdTime. Reads take no lock; callers that miss the same key share one load.
type cache[K comparable, V any] struct {
	entries   sync.Map // K -> entry[V]
	flights   singleflight.Group
	sweepNext atomic.Int64 // unix nanoseconds
}

type entry[V any] struct {
	value V
	until int64 // unix nanoseconds
}

// get answers the value of key, unless it is older than holdTime.
func (c *cache[K, V]) get(key K, now time.Time) (value V, ok bool) {
	found, ok := c.entries.Load(key)
	if !ok {
		return value, false
	}
	e := found.(*entry[V])
	return e.value, now.UnixNano() < e.until
}

// load finds the value of key, once for all who ask by the same flight name at the same time, and keeps it. The work
// goes on when the first caller goes away; each caller waits no longer than its own ctx.
func (c *cache[K, V]) load(ctx context.Context, key K, flight string, now time.Time, find func(context.Context) (V, error)) (V, error) {
	done := c.flights.DoChan(flight, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadBound)
		defer cancel()
		value, err := find(ctx)
		if err == nil {
			c.put(key, value, now)
		}
		return value, err
	})
	select {
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	case result := <-done:
		value, _ := result.Val.(V)
		return value, result.Err
	}
}

// put keeps value and, once an hour, drops what has expired, so that the cache does not grow with every day's keys.
func (c *cache[K, V]) put(key K, value V, now time.Time) {
	c.entries.Store(key, &entry[V]{value, now.Add(holdTime).UnixNano()})
	due := c.sweepNext.Load()
	if now.UnixNano() < due || !c.sweepNext.CompareAndSwap(due, now.Add(holdTime).UnixNano()) {
		return
	}
	for key, value := range c.entries.Range {
		if now.UnixNano() >= value.(*entry[V]).until {
			c.entries.Delete(key)
		}
	}
}
