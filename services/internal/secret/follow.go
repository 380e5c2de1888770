package secret

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// fileInterval is how often a file is read again.
const fileInterval = time.Second

// Follow reads the secret that ref names and gives it to use, and does so again whenever it has changed, until ctx ends:
// one call of use at a time. The first time an error is answered. Later it leaves in force what use took before, is
// reported under name (the setting's) and tried again until it is gone. use keeps no part of text.
func Follow(ctx context.Context, name string, ref Ref, use func(text []byte) error) error {
	text, err := Read(ctx, ref)
	if err == nil {
		err = use(text)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	f := &follower{name: name, ref: ref, use: use, taken: sha256.Sum256(text)}
	clear(text)
	switch {
	case strings.HasPrefix(string(ref), inFile):
		go f.run(ctx, fileInterval)
	case strings.HasPrefix(string(ref), inVault):
		go f.run(ctx, vaultInterval())
	}
	return nil
}

// follower looks after one secret.
type follower struct {
	name    string
	ref     Ref
	use     func([]byte) error
	taken   [sha256.Size]byte // hash of what use took last
	trouble string            // what was reported last
}

func (f *follower) run(ctx context.Context, interval time.Duration) {
	defer problems.Delete(f)
	for {
		// Jitter, so that many processes do not ask Vault in step.
		timer := time.NewTimer(interval + rand.N(interval/5))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
			f.look(ctx)
		}
	}
}

func (f *follower) look(ctx context.Context) {
	text, err := Read(ctx, f.ref)
	hash := sha256.Sum256(text)
	changed := err == nil && hash != f.taken
	if changed {
		err = f.use(text)
	}
	clear(text)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		f.report(ctx, err)
		return
	}
	if changed {
		f.taken = hash
		slog.InfoContext(ctx, "secret replaced", slog.String("name", f.name))
	}
	if f.trouble != "" {
		f.trouble = ""
		problems.Delete(f)
	}
}

// report says once what keeps a new value from being taken.
func (f *follower) report(ctx context.Context, err error) {
	if err.Error() == f.trouble {
		return
	}
	f.trouble = err.Error()
	problems.Store(f, f.name+" keeps its earlier value: "+f.trouble)
	slog.ErrorContext(ctx, "new secret not taken; the one before stays in force", slog.String("name", f.name), slog.String("error", f.trouble))
}

// problems are what is wrong with the secrets of this process: *follower -> string.
var problems sync.Map

// Problems names the secrets whose newest value could not be taken, and why; sorted.
func Problems() (all []string) {
	for _, text := range problems.Range {
		all = append(all, text.(string))
	}
	slices.Sort(all)
	return slices.Compact(all) // one secret may be followed in two places
}
