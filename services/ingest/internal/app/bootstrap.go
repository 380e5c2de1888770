package app

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"

	store "github.com/onlinesms/onlinesms/services/ingest/internal/postgres"
	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/principal"
	"github.com/onlinesms/onlinesms/services/internal/seal"
	"github.com/onlinesms/onlinesms/services/internal/secret"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// toolConfig is what subcommands beside serve need.
type toolConfig struct {
	Postgres postgres.Config
	Secrets  Secrets
}

// demoFile is our part of a demo file; compliance reads the registry in it.
type demoFile struct {
	Tenant struct {
		ID   string `yaml:"id"`
		Name string `yaml:"name"`
	} `yaml:"tenant"`
	Keys []struct {
		Name      string   `yaml:"name"`
		Env       string   `yaml:"env"`
		Scopes    []string `yaml:"scopes"`
		Addresses []string `yaml:"allowed_addresses"`
	} `yaml:"keys"`
}

// Bootstrap makes the tenant and the API keys of a demo file: `bootstrap -file demo.yaml [-out env-file]`. With -out the
// keys are written to that file only (mode 0600, ONLINESMS_LIVE_KEY, ONLINESMS_TEST_KEY, ONLINESMS_RESTRICTED_KEY), and keys that stand there
// and still work are kept, so that running it again changes nothing. Without -out new keys are made and printed as JSON:
// {"id": …, "keys": {"live": …, "test": …}}.
func Bootstrap(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bootstrap", flag.ContinueOnError)
	file := flags.String("file", "", "YAML file with the sections tenant and keys")
	out := flags.String("out", "", "shell file to keep the keys in; standard output when empty")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("%w: %w", service.ErrUsage, err)
	}
	if *file == "" || flags.NArg() > 0 {
		return fmt.Errorf("%w: bootstrap -file demo.yaml [-out env-file]", service.ErrUsage)
	}
	cfg, err := service.LoadConfig[toolConfig]()
	if err != nil {
		return err
	}
	if err := missing(map[string]string{"PEPPER": string(cfg.Secrets.Pepper)}); err != nil {
		return err
	}
	db, err := postgres.Open(ctx, cfg.Postgres)
	if err != nil {
		return err
	}
	defer db.Close()
	return bootstrap(ctx, store.NewStore(db, nil, time.Now), cfg.Secrets.Pepper, *file, *out)
}

func bootstrap(ctx context.Context, directory tenant.Directory, pepper secret.Ref, file, out string) error {
	owner, wanted, err := readDemo(file)
	if err != nil {
		return err
	}
	peppers, err := tenant.OpenPeppers(ctx, pepper, time.Now)
	if err != nil {
		return err
	}
	held := map[string]string{}
	if out != "" {
		if held, err = readKeys(out); err != nil {
			return err
		}
	}
	b := tenant.Bootstrap{Directory: directory, Peppers: peppers, Now: time.Now, Random: rand.Reader}
	keys, err := b.Run(ctx, owner, wanted, held)
	if err != nil {
		return err
	}
	if out == "" {
		return printKeys(os.Stdout, owner.ID, keys)
	}
	return writeKeys(out, keys)
}

func readDemo(file string) (tenant.Tenant, []tenant.Wanted, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return tenant.Tenant{}, nil, err
	}
	var demo demoFile
	if err := yaml.Unmarshal(text, &demo); err != nil {
		return tenant.Tenant{}, nil, fmt.Errorf("%s: %w", file, err)
	}
	id, err := uuid.Parse(demo.Tenant.ID)
	if err != nil {
		return tenant.Tenant{}, nil, fmt.Errorf("%s: tenant.id: %w", file, err)
	}
	var wanted []tenant.Wanted
	for _, k := range demo.Keys {
		rules, err := tenant.ParseAddresses(k.Addresses)
		if err != nil {
			return tenant.Tenant{}, nil, fmt.Errorf("%s: keys: %w", file, err)
		}
		wanted = append(wanted, tenant.Wanted{Name: k.Name, Env: k.Env, Scopes: k.Scopes, Addresses: rules})
	}
	return tenant.Tenant{ID: id, Name: demo.Tenant.Name}, wanted, nil
}

func printKeys(w io.Writer, id uuid.UUID, keys map[string]string) error {
	return json.NewEncoder(w).Encode(map[string]any{"id": id, "keys": keys})
}

// keyVariables are the names of the keys in the shell file, in its order.
var keyVariables = []struct{ name, variable string }{
	{principal.Live, "ONLINESMS_LIVE_KEY"}, {principal.Test, "ONLINESMS_TEST_KEY"},
	{"restricted", "ONLINESMS_RESTRICTED_KEY"},
}

func readKeys(file string) (map[string]string, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	held := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		variable, value, _ := strings.Cut(strings.TrimPrefix(lines.Text(), "export "), "=")
		for _, v := range keyVariables {
			if v.variable == variable {
				held[v.name] = strings.Trim(value, `"'`)
			}
		}
	}
	return held, lines.Err()
}

// writeKeys writes aside and renames: the secrets are shown once, and must not be lost halfway.
func writeKeys(file string, keys map[string]string) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".keys-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it is gone after the rename
	for _, v := range keyVariables {
		if key := keys[v.name]; key != "" {
			fmt.Fprintf(f, "%s=%s\n", v.variable, key)
		}
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

// InitSecrets makes those of the files KEK_FILE, KEYRING_FILE and PEPPER_FILE, and of PINS_KEY_FILE where it is set, that
// are not there, mode 0600: for a first start on one machine. What is there stays as it is.
func InitSecrets(ctx context.Context, _ []string) error {
	cfg, err := service.LoadConfig[Secrets]()
	if err != nil {
		return err
	}
	if err := initSecrets(ctx, cfg); err != nil {
		return err
	}
	return initPins()
}

func initSecrets(ctx context.Context, secrets Secrets) error {
	kekFile, ok := secrets.KEK.Path()
	keyringFile, okRing := secrets.Keyring.Path()
	pepperFile, okPepper := secrets.Pepper.Path()
	if !ok || !okRing || !okPepper {
		return errors.New("KEK_FILE, KEYRING_FILE and PEPPER_FILE must be set: only files can be made")
	}
	if err := ifAbsent(seal.GenerateFileKEK(kekFile)); err != nil {
		return err
	}
	kek, err := seal.ReadKEK(ctx, secrets.KEK, time.Now)
	if err != nil {
		return err
	}
	if err := ifAbsent(seal.CreateKeyring(ctx, kek, keyringFile, principal.Live, principal.Test)); err != nil {
		return err
	}
	return ifAbsent(tenant.CreatePeppers(pepperFile))
}

// ifAbsent forgives that there was something already.
func ifAbsent(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
