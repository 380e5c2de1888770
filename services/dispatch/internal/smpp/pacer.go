package smpp

import (
	"cmp"
	"sync"
	"time"
)

// PacerConfig bounds a Pacer. Zero values mean the defaults given.
type PacerConfig struct {
	Rate    float64       // submits per second the contract allows; required, > 0
	Burst   int           // tokens saved up at most; default Rate/10, at least 1
	MinRate float64       // floor under throttling; default Rate/50, at least 1
	Step    float64       // regained per second of quiet; default Rate/50
	Quiet   time.Duration // time without throttling before regaining; default 5 s
	Pause   time.Duration // first stop after a throttle, doubling to 8 times; default 1 s
	// Rand draws from [0,1) for the pause's jitter; default 0.5 always.
	Rand func() float64
}

// Pacer is a token bucket whose rate falls by half when the operator throttles
// and rises slowly when it does not (AIMD; DLT rules 8.3). It has no clock: times
// come in as values and must not go back. Safe for concurrent use.
type Pacer struct {
	cfg PacerConfig

	mu        sync.Mutex
	rate      float64
	tokens    float64
	at        time.Time // tokens and rate are as of here
	throttled time.Time // last time the rate was cut
	resume    time.Time // no tokens before
	streak    int       // cuts without a quiet time between
}

// NewPacer returns a Pacer at full rate with a full bucket.
func NewPacer(cfg PacerConfig, now time.Time) *Pacer {
	cfg.Burst = cmp.Or(cfg.Burst, max(1, int(cfg.Rate/10)))
	cfg.MinRate = cmp.Or(cfg.MinRate, min(cfg.Rate, max(1, cfg.Rate/50)))
	cfg.Step = cmp.Or(cfg.Step, cfg.Rate/50)
	cfg.Quiet = cmp.Or(cfg.Quiet, 5*time.Second)
	cfg.Pause = cmp.Or(cfg.Pause, time.Second)
	if cfg.Rand == nil {
		cfg.Rand = func() float64 { return 0.5 }
	}
	return &Pacer{cfg: cfg, rate: cfg.Rate, tokens: float64(cfg.Burst), at: now}
}

// Take gives up to n tokens but leaves at least leave in the bucket (for a lane
// that must not wait), and answers how many, 0..n.
func (p *Pacer) Take(now time.Time, n, leave int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.advance(now)
	if now.Before(p.resume) {
		return 0
	}
	const rounding = 1e-6 // of a token, lost in adding fractions
	got := max(0, min(n, int(p.tokens+rounding)-max(leave, 0)))
	p.tokens -= float64(got)
	return got
}

// Return gives back n tokens that were taken and not used.
func (p *Pacer) Return(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tokens = min(p.tokens+float64(max(n, 0)), float64(p.cfg.Burst))
}

// Wait says how long until Take with the same n and leave could give them all;
// n+leave beyond Burst is never there, so it is counted as Burst.
func (p *Pacer) Wait(now time.Time, n, leave int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.advance(now)
	missing := float64(min(n+max(leave, 0), p.cfg.Burst)) - p.tokens
	wait := time.Duration(max(0, missing) / p.rate * float64(time.Second))
	if missing > 0 {
		wait++ // rounding down would answer a moment too early
	}
	return max(wait, p.resume.Sub(now), 0)
}

// Throttled records that the operator asked for less: half the rate, and a
// pause of 1, 2, 4, then 8 times Pause, jittered by a quarter either way. The
// answers to one window come together, so further calls before the pause is
// over change nothing.
func (p *Pacer) Throttled(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.advance(now)
	if now.Before(p.resume) {
		return
	}
	if now.Sub(p.resume) > p.cfg.Quiet {
		p.streak = 0
	}
	pause := float64(p.cfg.Pause<<min(p.streak, 3)) * (0.75 + p.cfg.Rand()/2)
	p.streak++
	p.rate = max(p.rate/2, p.cfg.MinRate)
	p.tokens = 0
	p.throttled, p.resume = now, now.Add(time.Duration(pause))
}

// Rate returns the submits per second allowed now.
func (p *Pacer) Rate(now time.Time) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.advance(now)
	return p.rate
}

// advance brings tokens and rate to now. Tokens do not grow during a pause; the
// rate grows only after a quiet time.
func (p *Pacer) advance(now time.Time) {
	if !now.After(p.at) {
		return
	}
	if from := latest(p.at, p.resume); now.After(from) {
		p.tokens = min(p.tokens+p.rate*now.Sub(from).Seconds(), float64(p.cfg.Burst))
	}
	if from := latest(p.at, p.throttled.Add(p.cfg.Quiet)); now.After(from) && p.rate < p.cfg.Rate {
		p.rate = min(p.rate+p.cfg.Step*now.Sub(from).Seconds(), p.cfg.Rate)
	}
	p.at = now
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
