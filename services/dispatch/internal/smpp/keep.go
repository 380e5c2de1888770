package smpp

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// KeepConfig says how to stay bound. Zero values mean the defaults given.
type KeepConfig struct {
	Session Config
	// MinDelay and MaxDelay bound the wait between attempts, which doubles from
	// one to the other and is drawn evenly from zero up ("full jitter"), so that
	// many binds do not return at once; defaults 100 ms and 30 s.
	MinDelay, MaxDelay time.Duration
	// RefusedDelay is waited after a refusal that is a matter of configuration
	// (BindError.Fatal), without jitter; default 5 min.
	RefusedDelay time.Duration
	// StableAfter is how long a session must last for the wait to begin anew at
	// MinDelay; default 10 s.
	StableAfter time.Duration
	// DrainTimeout bounds the graceful end of a session; default 20 s.
	DrainTimeout time.Duration
	// Rand draws from [0,1); default math/rand.
	Rand func() float64
	// OnWait is told each time why there is no session and how long is waited.
	// Optional.
	OnWait func(cause error, wait time.Duration)
}

func (c KeepConfig) withDefaults() KeepConfig {
	c.MinDelay = cmp.Or(c.MinDelay, 100*time.Millisecond)
	c.MaxDelay = cmp.Or(c.MaxDelay, 30*time.Second)
	c.RefusedDelay = cmp.Or(c.RefusedDelay, 5*time.Minute)
	c.StableAfter = cmp.Or(c.StableAfter, 10*time.Second)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 20*time.Second)
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	if c.OnWait == nil {
		c.OnWait = func(error, time.Duration) {}
	}
	return c
}

// Keep stays bound until ctx ends and then returns its error. For each session
// it calls use, which works with it until s.Done or ctx ends; Keep then closes
// the session in good order and binds again.
func Keep(ctx context.Context, cfg KeepConfig, use func(ctx context.Context, s *Session)) error {
	cfg = cfg.withDefaults()
	for failures := 0; ctx.Err() == nil; failures++ {
		began := time.Now()
		cause := cfg.once(ctx, use)
		if time.Since(began) >= cfg.StableAfter {
			failures = 0
		}
		if ctx.Err() != nil {
			break
		}
		wait := cfg.delay(cause, failures)
		cfg.OnWait(cause, wait)
		sleep(ctx, wait)
	}
	return ctx.Err()
}

// once runs one session from bind to end and says why it ended.
func (c *KeepConfig) once(ctx context.Context, use func(context.Context, *Session)) error {
	s, err := Open(ctx, c.Session)
	if err != nil {
		return err
	}
	use(ctx, s)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.DrainTimeout)
	defer cancel()
	return cmp.Or(s.Err(), s.Close(drain))
}

// delay is the wait after the n-th failure in a row, counted from zero.
func (c *KeepConfig) delay(cause error, n int) time.Duration {
	if refused := (*BindError)(nil); errors.As(cause, &refused) && refused.Fatal() {
		return c.RefusedDelay
	}
	ceiling := c.MaxDelay
	if n < 32 && c.MinDelay<<n < c.MaxDelay {
		ceiling = c.MinDelay << n
	}
	return time.Duration(c.Rand() * float64(ceiling))
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
