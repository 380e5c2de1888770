package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/ingest/internal/content"
	"github.com/onlinesms/onlinesms/services/ingest/internal/person"
	store "github.com/onlinesms/onlinesms/services/ingest/internal/postgres"
	"github.com/onlinesms/onlinesms/services/ingest/internal/record"
	"github.com/onlinesms/onlinesms/services/internal/principal"
	"github.com/onlinesms/onlinesms/services/internal/seal"
)

// ownerVariables are the names of an owner's credentials in the shell file.
var ownerVariables = []variable{
	{"email", "ONLINESMS_ADMIN_EMAIL"}, {"password", "ONLINESMS_ADMIN_PASSWORD"}, {"totp", "ONLINESMS_ADMIN_TOTP"},
}

// onScreen as a file stands for standard output.
const onScreen = "-"

// bootstrapOwner makes the owner of a demo file, unless file holds credentials of his that work. Without a file, for
// onScreen, he gets new ones, which are written to out as JSON: {"owner": {"email": …, "password": …, "totp": …}}.
func bootstrapOwner(ctx context.Context, s *store.Store, secrets Secrets, demoPath, file string, out io.Writer) error {
	demo, err := parseDemo(demoPath)
	if err != nil {
		return err
	}
	if demo.Owner.Email == "" {
		return nil
	}
	if err := missing(map[string]string{"KEK": string(secrets.KEK), "KEYRING": string(secrets.Keyring)}); err != nil {
		return err
	}
	id, err := uuid.Parse(demo.Tenant.ID)
	if err != nil {
		return fmt.Errorf("%s: tenant.id: %w", demoPath, err)
	}
	var held map[string]string
	if file != onScreen {
		if held, err = readVariables(file, ownerVariables); err != nil {
			return err
		}
	}
	keyring, err := seal.OpenKeyring(ctx, secrets.KEK, secrets.Keyring, time.Now)
	if err != nil {
		return err
	}
	b := person.Bootstrap{
		Store: store.NewPeople(s), Vault: content.NewVault(keyring, seal.NewSealer(keyring, s, time.Now), time.Now),
		Hasher: person.NewHasher(person.StandardCost), Now: time.Now, Random: rand.Reader,
	}
	ctx = record.ByOperator(ctx, "bootstrap", "user.bootstrap", principal.Principal{TenantID: id, Env: principal.Live}, time.Now())
	made, err := b.Owner(ctx, id, demo.Owner.Email, person.Credential{Password: held["password"], Seed: held["totp"]})
	if err != nil {
		return err
	}
	credentials := map[string]string{"email": strings.ToLower(demo.Owner.Email), "password": made.Password, "totp": made.Seed}
	if file == onScreen {
		return json.NewEncoder(out).Encode(map[string]any{"owner": credentials})
	}
	return writeVariables(file, ownerVariables, credentials)
}
