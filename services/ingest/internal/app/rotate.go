package app

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/onlinesms/onlinesms/services/ingest/internal/door"
	store "github.com/onlinesms/onlinesms/services/ingest/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/seal"
	"github.com/onlinesms/onlinesms/services/internal/secret"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// rotation is one call of the commands that rotate secrets.
type rotation struct {
	toolConfig
	Door  DoorConfig
	name  string
	out   string
	after time.Duration
	now   func() time.Time
}

// RotateSecret adds a new version to a secret: `rotate-secret -name kek|pepper|pins [-after 2m] [-out file]`. Running
// processes take it up by themselves; nothing is under it yet: a pepper makes hashes after the time of -after, by when
// every replica must have it; a key-encryption key wraps with rewrap-keyring; a pins key signs beside the older ones.
func RotateSecret(ctx context.Context, args []string) error {
	r, err := readRotation("rotate-secret", args)
	if err != nil {
		return err
	}
	return r.rotate(ctx)
}

// RewrapKeyring wraps the deployment keys by the newest key-encryption key: `rewrap-keyring [-out file]`.
func RewrapKeyring(ctx context.Context, args []string) error {
	r, err := readRotation("rewrap-keyring", append([]string{"-name", "kek"}, args...))
	if err != nil {
		return err
	}
	return r.rewrap(ctx)
}

// RetireSecret leaves the newest version of a secret only: `retire-secret -name kek|pepper|pins [-out file]`. It refuses
// while anything still needs an older one.
func RetireSecret(ctx context.Context, args []string) error {
	r, err := readRotation("retire-secret", args)
	if err != nil {
		return err
	}
	return r.retire(ctx)
}

func readRotation(command string, args []string) (*rotation, error) {
	r := &rotation{now: time.Now}
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.StringVar(&r.name, "name", "", "the secret: kek, pepper or pins")
	flags.StringVar(&r.out, "out", "", "file to write (mode 0600); the secret's own when empty")
	flags.DurationVar(&r.after, "after", 2*time.Minute, "pepper: how long until every replica has it")
	if err := flags.Parse(args); err != nil {
		return nil, fmt.Errorf("%w: %w", service.ErrUsage, err)
	}
	if r.name != "kek" && r.name != "pepper" && r.name != "pins" || flags.NArg() > 0 || r.after < 0 {
		return nil, fmt.Errorf("%w: %s -name kek|pepper|pins", service.ErrUsage, command)
	}
	cfg, err := service.LoadConfig[struct {
		Tool toolConfig
		Door DoorConfig
	}]()
	r.toolConfig, r.Door = cfg.Tool, cfg.Door
	return r, err
}

func (r *rotation) ref() secret.Ref {
	return map[string]secret.Ref{"kek": r.Secrets.KEK, "pepper": r.Secrets.Pepper, "pins": r.Door.PinsKey}[r.name]
}

func (r *rotation) rotate(ctx context.Context) error {
	text, err := secret.Read(ctx, r.ref())
	if err != nil {
		return err
	}
	if r.name == "pins" {
		key, err := door.NewPinsKey()
		if err != nil {
			return err
		}
		return r.write(r.ref(), append(append(text, '\n'), key...))
	}
	keys, err := secret.ParseKeys(text)
	if err != nil {
		return err
	}
	var from time.Time
	if r.name == "pepper" && r.after > 0 {
		from = r.now().Add(r.after)
	}
	if keys, err = keys.With(from); err != nil {
		return err
	}
	return r.write(r.ref(), keys.Text())
}

func (r *rotation) rewrap(ctx context.Context) error {
	kek, err := seal.ReadKEK(ctx, r.Secrets.KEK, r.now)
	if err != nil {
		return err
	}
	keyring, err := secret.Read(ctx, r.Secrets.Keyring)
	if err != nil {
		return err
	}
	if keyring, err = seal.Rewrap(ctx, kek, keyring); err != nil {
		return err
	}
	return r.write(r.Secrets.Keyring, keyring)
}

func (r *rotation) retire(ctx context.Context) error {
	var text []byte
	var err error
	switch r.name {
	case "kek":
		text, err = r.retireKEK(ctx)
	case "pepper":
		text, err = r.retirePepper(ctx)
	case "pins":
		if text, err = secret.Read(ctx, r.ref()); err == nil {
			text, err = newestPEM(text)
		}
	}
	if err != nil {
		return err
	}
	return r.write(r.ref(), text)
}

func (r *rotation) retireKEK(ctx context.Context) ([]byte, error) {
	kek, err := seal.ReadKEK(ctx, r.Secrets.KEK, r.now)
	if err != nil {
		return nil, err
	}
	keyring, err := secret.Read(ctx, r.Secrets.Keyring)
	if err != nil {
		return nil, err
	}
	return seal.RetireKEK(ctx, kek, keyring)
}

// retirePepper refuses while a key or a code has its hash under an older pepper: keys get a new one when they are used.
func (r *rotation) retirePepper(ctx context.Context) ([]byte, error) {
	text, err := secret.Read(ctx, r.Secrets.Pepper)
	if err != nil {
		return nil, err
	}
	keys, err := secret.ParseKeys(text)
	if err != nil {
		return nil, err
	}
	newest, err := keys.Alone(r.now())
	if err != nil {
		return nil, err
	}
	db, err := postgres.Open(ctx, r.Postgres)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	apiKeys, codes, err := store.NewStore(db, nil, r.now).PepperUses(ctx, newest[0].Version)
	if err != nil {
		return nil, err
	}
	if apiKeys+codes > 0 {
		return nil, fmt.Errorf(
			"%d API keys and %d codes are still under an older pepper: each key moves with its next use, or expires", apiKeys, codes)
	}
	return newest.Text(), nil
}

func newestPEM(text []byte) ([]byte, error) {
	at := bytes.LastIndex(text, []byte("-----BEGIN"))
	if block, _ := pem.Decode(text[max(at, 0):]); block == nil {
		return nil, errors.New("PINS_KEY is not PEM")
	}
	return append(text[at:], '\n'), nil
}

// write replaces the file that ref names, or the one asked for.
func (r *rotation) write(ref secret.Ref, text []byte) error {
	path := r.out
	if path == "" {
		var ok bool
		if path, ok = ref.Path(); !ok {
			return errors.New("the secret is not in a file: say -out, and put what is written there where the secret is")
		}
	}
	return secret.Replace(path, text)
}
