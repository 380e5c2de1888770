package offline

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
	"github.com/onlinesms/onlinesms/services/internal/gsm"
	"github.com/onlinesms/onlinesms/services/internal/msisdn"
)

// batchSize is how many lines are decided together.
const batchSize = 512

// Config says by what lines are decided.
type Config struct {
	Registry  *registry.Snapshot
	Pack      *policy.Pack
	Now       time.Time
	Env       string // live or test
	Operators []string
	Route     policy.Route
	// Defaults stand in for what a line leaves out.
	Defaults Line
}

// Result is the decision on a line.
type Result struct {
	Line     int
	Ref      string
	To       string // E.164; empty when it is no Indian mobile number
	Decision policy.Decision
	Category policy.Category
	Size     gsm.Size // of the text as it would go out
	Sized    bool     // the text is known: values without a template make none
	Err      error    // why the line is none; the rest is empty then
}

// Scrub decides the lines of a file and gives their results in order to out, from one goroutine. It ends with the file, with
// an error of reading or of out, or with ctx.
func Scrub(ctx context.Context, cfg Config, in Reader, out func(*Result) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers := runtime.GOMAXPROCS(0)
	tasks, queue := make(chan *batch, workers), make(chan *batch, 2*workers) // queue keeps the order
	var failed error
	var running sync.WaitGroup
	running.Go(func() {
		defer close(queue)
		defer close(tasks)
		failed = read(ctx, in, tasks, queue)
	})
	for range workers {
		running.Go(func() {
			w := newWorker(cfg)
			for b := range tasks {
				b.err = w.decide(ctx, b)
				close(b.done)
			}
		})
	}
	err := write(queue, out)
	cancel()
	for range queue { // let the reader end
	}
	running.Wait()
	return errors.Join(err, failed)
}

// batch is lines on their way.
type batch struct {
	lines   []Line
	results []Result
	err     error
	done    chan struct{}
}

func read(ctx context.Context, in Reader, tasks, queue chan<- *batch) error {
	for {
		b := &batch{lines: make([]Line, 0, batchSize), done: make(chan struct{})}
		var err error
		for len(b.lines) < batchSize && err == nil {
			var l Line
			if l, err = in.Next(); err == nil {
				b.lines = append(b.lines, l)
			}
		}
		if len(b.lines) > 0 {
			select {
			case queue <- b:
			case <-ctx.Done():
				return ctx.Err()
			}
			tasks <- b // a worker takes it: they end after this goroutine
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

func write(queue <-chan *batch, out func(*Result) error) error {
	for b := range queue {
		<-b.done
		if b.err != nil {
			return b.err
		}
		for i := range b.results {
			if err := out(&b.results[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// worker decides batches, one at a time.
type worker struct {
	cfg      Config
	screener *screening.Screener
	plain    plain
}

func newWorker(cfg Config) *worker {
	w := &worker{cfg: cfg}
	w.screener = screening.New(screening.Config{Registry: single{cfg.Registry}, Packs: policy.Packs{cfg.Pack}, Contents: &w.plain,
		Now: func() time.Time { return cfg.Now }, Operators: cfg.Operators, Route: func(string) policy.Route { return cfg.Route }})
	return w
}

// single is one tenant's registry.
type single struct{ snapshot *registry.Snapshot }

// Snapshot implements screening.Registry.
func (s single) Snapshot(uuid.UUID) *registry.Snapshot { return s.snapshot }

// plain is screening.Contents that is not sealed: a message's content is its place in the batch.
type plain struct{ contents []screening.Content }

// Open implements screening.Contents.
func (p *plain) Open(_ context.Context, _ *screening.Parcel, m *screening.Message, c *screening.Content) error {
	*c = p.contents[binary.NativeEndian.Uint32(m.Content)]
	return nil
}

// Reseal implements screening.Contents.
func (p *plain) Reseal(_ context.Context, _ *screening.Parcel, m *screening.Message, c *screening.Content) ([]byte, error) {
	p.contents[binary.NativeEndian.Uint32(m.Content)].Text = c.Text
	return m.Content, nil
}

func (w *worker) decide(ctx context.Context, b *batch) error {
	b.results = make([]Result, len(b.lines))
	parcel := screening.Parcel{Env: w.cfg.Env, Messages: make([]screening.Message, 0, len(b.lines))}
	places := make([]byte, 4*len(b.lines))
	w.plain.contents = w.plain.contents[:0]
	of := make([]int, 0, len(b.lines)) // line of a message
	for i := range b.lines {
		l, r := &b.lines[i], &b.results[i]
		w.fill(l)
		r.Line, r.Ref = l.Number, l.Reference
		if r.Err = l.check(); r.Err != nil {
			continue
		}
		c := screening.Content{To: l.To, Text: l.Text, Values: l.Values}
		if e164, ok := msisdn.E164(l.To); ok {
			c.To, r.To = e164, e164
		}
		n := len(w.plain.contents)
		w.plain.contents = append(w.plain.contents, c)
		place := places[4*n : 4*n+4]
		binary.NativeEndian.PutUint32(place, uint32(n))
		m := screening.Message{EntityID: l.EntityID, Header: l.Header, TemplateID: l.Template, Content: place}
		if !l.Schedule.IsZero() {
			m.Schedule = l.Schedule.UnixMicro()
		}
		parcel.Messages = append(parcel.Messages, m)
		of = append(of, i)
	}
	screened, err := w.screener.Decide(ctx, []screening.Parcel{parcel})
	if err != nil {
		return err
	}
	for n, i := range of {
		r, v := &b.results[i], &screened[0].Verdicts[n]
		r.Decision, r.Category = v.Decision, v.Category
		if text, ok := w.text(&b.lines[i], n); ok {
			r.Size, r.Sized = gsm.Measure(text), true
		}
	}
	return nil
}

// text is what would go out, or would if it were not refused; ok is false when values make none.
func (w *worker) text(l *Line, n int) (text string, ok bool) {
	if text = w.plain.contents[n].Text; text == "" {
		t := w.cfg.Registry.Template(l.Template)
		if t == nil {
			return "", false
		}
		if text, _, ok = t.Parsed.Render(l.Values); !ok {
			return "", false
		}
	}
	text, _ = template.Normalise(text)
	return text, true
}

// fill puts the defaults in place.
func (w *worker) fill(l *Line) {
	for _, f := range []struct {
		field *string
		value string
	}{{&l.EntityID, w.cfg.Defaults.EntityID}, {&l.Header, w.cfg.Defaults.Header}, {&l.Template, w.cfg.Defaults.Template}} {
		if *f.field == "" {
			*f.field = f.value
		}
	}
}
