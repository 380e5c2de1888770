package scrub

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"

	"github.com/onlinesms/onlinesms/services/compliance/internal/preference"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Runs answers what is to be in force.
type Runs interface {
	// LatestPreferenceRun answers the run that is to be in force; errs.NotFound when there is none.
	LatestPreferenceRun(ctx context.Context) (preference.Record, error)
	// PreferenceChanges answers the changes to a run that end after a sequence, in order.
	PreferenceChanges(ctx context.Context, run uuid.UUID, after uint64) ([]preference.ChangeSet, error)
}

// Follower keeps a replica's register as the latest run and its changes have it. One goroutine may follow.
type Follower struct {
	Store   *preference.Store
	Keys    Keys
	Objects Objects
	Runs    Runs
}

// Follow fetches what is new and puts it in force; it answers whether a file was. Look-ups go on meanwhile, by what was in
// force before. An error leaves that as it is; call it again.
func (f *Follower) Follow(ctx context.Context) (fetched bool, err error) {
	latest, err := f.Runs.LatestPreferenceRun(ctx)
	if errs.KindOf(err) == errs.NotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if inForce, _ := f.Store.Freshness(latest.At); inForce.ID != latest.ID {
		if err := f.fetch(ctx, latest); err != nil {
			return false, fmt.Errorf("run %s: %w", latest.ID, err)
		}
		fetched = true
	}
	return fetched, f.change(ctx, latest.ID)
}

func (f *Follower) fetch(ctx context.Context, latest preference.Record) (err error) {
	if latest.Object == "" {
		return errs.E(errs.NotFound, preference.ReasonNoRun, "the file was removed from the object store", nil)
	}
	object, err := f.Objects.Get(ctx, latest.Object)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, object.Close()) }()
	opened, err := f.Keys.OpenFile(ctx, env, purposeFile, object)
	if err != nil {
		return err
	}
	plain, err := zstd.NewReader(opened, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return err
	}
	defer plain.Close()
	got, err := f.Store.Receive(ctx, plain)
	if err == nil && got.ID != latest.ID {
		err = errs.E(errs.Invalid, preference.ReasonFileInvalid, "the object holds another run", nil)
	}
	return err
}

// change makes the changes to a run that this replica has not made yet.
func (f *Follower) change(ctx context.Context, run uuid.UUID) error {
	for {
		done := f.Store.Sequence()
		sets, err := f.Runs.PreferenceChanges(ctx, run, done)
		if err != nil || len(sets) == 0 {
			return err
		}
		for _, set := range sets {
			changes, err := open(ctx, f.Keys, set)
			if err != nil {
				return err
			}
			if set.First > done+1 || set.First+uint64(set.Count) <= done+1 {
				return errs.E(errs.Internal, preference.ReasonJournal, "changes are missing before those that came", nil)
			}
			if err := f.Store.Update(changes[done+1-set.First:]...); err != nil {
				return err
			}
			done = set.First + uint64(set.Count) - 1
		}
	}
}
