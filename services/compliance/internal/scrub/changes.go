package scrub

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/onlinesms/onlinesms/services/compliance/internal/preference"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// maxChanges are made together.
const maxChanges = 10_000

// ChangeRecorder keeps changes to runs.
type ChangeRecorder interface {
	// LatestPreferenceRun answers the run that is to be in force; errs.NotFound when there is none.
	LatestPreferenceRun(ctx context.Context) (preference.Record, error)
	// AddPreferenceChanges records changes to the latest run and announces them; errs.Unavailable when it is another one.
	AddPreferenceChanges(ctx context.Context, r preference.Record, actor string, count int, sealed []byte) error
}

// Changer makes changes to the run in force.
type Changer struct {
	Keys     Keys
	Recorder ChangeRecorder
	Actor    string
}

// Change reads lines as preference.Parse describes them and has every replica make them. It answers how many. All of them
// or none are made; more than 10,000 are an import's work (errs.Invalid).
func (c *Changer) Change(ctx context.Context, lines io.Reader) (int, error) {
	changes, err := preference.ReadChanges(ctx, lines, maxChanges)
	if err != nil {
		return 0, err
	}
	run, err := c.Recorder.LatestPreferenceRun(ctx)
	if err != nil {
		return 0, err
	}
	var sealed bytes.Buffer
	w, err := c.Keys.SealFile(ctx, env, purposeChanges, &sealed)
	if err != nil {
		return 0, err
	}
	_, err = w.Write(preference.MarshalChanges(changes))
	if err := errors.Join(err, w.Close()); err != nil {
		return 0, err
	}
	return len(changes), c.Recorder.AddPreferenceChanges(ctx, run, c.Actor, len(changes), sealed.Bytes())
}

// open reads sealed changes.
func open(ctx context.Context, keys Keys, set preference.ChangeSet) ([]preference.Change, error) {
	r, err := keys.OpenFile(ctx, env, purposeChanges, bytes.NewReader(set.Sealed))
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	changes, err := preference.UnmarshalChanges(plain)
	if err == nil && len(changes) != set.Count {
		err = errors.New("other changes than were announced")
	}
	if err != nil {
		return nil, errs.E(errs.Invalid, preference.ReasonFileInvalid, "The changes are not whole.", err)
	}
	return changes, nil
}
