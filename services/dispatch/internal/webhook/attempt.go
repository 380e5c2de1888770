package webhook

import (
	"context"
	"log/slog"
	"net/http"
	"time"
)

// attempt makes one attempt of a job. mine is false when its lease is over: another replica has it.
func (e *Engine) attempt(ctx context.Context, j *Job) (r Result, mine bool) {
	now := e.cfg.Now()
	if now.Add(totalLimit).After(j.Due) {
		return Result{Job: j}, false
	}
	t := e.cfg.Directory.target(j.Endpoint)
	if t == nil { // not active any more: it waits for whoever enables it
		return Result{Job: due(j, now)}, true
	}
	with, err := e.cfg.Directory.signing(ctx, t)
	if err != nil {
		e.cfg.Log.WarnContext(ctx, "secret of a webhook endpoint not opened", slog.String("endpoint", j.Endpoint.String()),
			slog.String("error", err.Error()))
		return Result{Job: due(j, now.Add(jittered(schedule[1])))}, true
	}
	header := make(http.Header, 9)
	with.sign(header, j.ID, j.Attempts+1, now, j.Body)
	answer := e.cfg.Client.Post(ctx, t.URL, header, j.Body)
	if ctx.Err() != nil && !answer.Delivered() { // we are stopping, it may have come
		return Result{Job: due(j, now)}, true
	}
	r = verdict(j, &answer, e.cfg.Now())
	e.count(&r)
	return r, true
}

// verdict says what follows from an answer.
func verdict(j *Job, a *Answer, now time.Time) Result {
	j.Attempts++
	r := Result{Job: j, Status: a.Status, Error: a.Error, At: now}
	if a.Delivered() {
		r.State = Delivered
		return r
	}
	if a.Status == http.StatusTooManyRequests || a.RetryAfter > 0 {
		r.throttled = max(a.RetryAfter, time.Second)
	}
	d, again := wait(j.Attempts-j.Before, a.RetryAfter)
	if j.Due = now.Add(d); !again || j.Due.Sub(j.Created) > keepTrying {
		r.State = GivenUp
	}
	return r
}

func (e *Engine) count(r *Result) {
	switch r.State {
	case Delivered:
		e.stats.Delivered.Add(1)
	case GivenUp:
		e.stats.GivenUp.Add(1)
	default:
		e.stats.Failed.Add(1)
	}
}
