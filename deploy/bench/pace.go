package main

import (
	"context"
	"errors"
	"sync"
	"time"
)

// pace sends single messages at a steady rate for a while and answers when each was sent. A send does not wait for the
// one before: a slow answer must not thin out the load that caused it.
func (c *client) pace(ctx context.Context, perSecond int, during time.Duration) (map[string]time.Time, error) {
	paced, cancel := context.WithTimeout(ctx, during)
	defer cancel()
	return c.paceUntil(paced, perSecond)
}

// paceUntil is pace until ctx ends; sends that are under way are finished.
func (c *client) paceUntil(ctx context.Context, perSecond int) (map[string]time.Time, error) {
	var (
		mu       sync.Mutex
		sent     = map[string]time.Time{}
		failures []error
		wg       sync.WaitGroup
	)
	ticker := time.NewTicker(time.Second / time.Duration(perSecond))
	defer ticker.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			wg.Wait()
			return sent, errors.Join(failures...)
		case <-ticker.C:
		}
		wg.Go(func() {
			start := time.Now()
			id, _, err := c.single(context.WithoutCancel(ctx), i)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failures = append(failures, err)
				return
			}
			sent[id] = start
		})
	}
}
