package content_test

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/ingest/internal/content"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/seal"
	"github.com/onlinesms/onlinesms/services/internal/secret"
)

// keys is a seal.DataKeyStore in memory.
type keys struct {
	wrapped map[uint64][]byte
	days    map[string]uint64
	asked   int
	err     error
}

func (k *keys) Wrapped(_ context.Context, id uint64) ([]byte, error) { return k.wrapped[id], k.err }

func (k *keys) Current(_ context.Context, env string, tenant uuid.UUID, day time.Time, class string,
	mint func(uint64) ([]byte, error)) (uint64, []byte, error) {
	k.asked++
	if k.err != nil {
		return 0, nil, k.err
	}
	name := env + tenant.String() + day.String() + class
	if id, ok := k.days[name]; ok {
		return id, k.wrapped[id], nil
	}
	id := uint64(len(k.days) + 1)
	wrapped, err := mint(id)
	k.days[name], k.wrapped[id] = id, wrapped
	return id, wrapped, err
}

func newVault(t testing.TB, now func() time.Time) (*content.Vault, *keys) {
	t.Helper()
	kekFile, ringFile := filepath.Join(t.TempDir(), "kek"), filepath.Join(t.TempDir(), "keyring.json")
	if err := seal.GenerateFileKEK(kekFile); err != nil {
		t.Fatal(err)
	}
	kek, err := seal.ReadKEK(t.Context(), secret.File(kekFile), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := seal.CreateKeyring(t.Context(), kek, ringFile, "live", "test"); err != nil {
		t.Fatal(err)
	}
	ring, err := seal.OpenKeyring(t.Context(), secret.File(kekFile), secret.File(ringFile), now)
	if err != nil {
		t.Fatal(err)
	}
	store := &keys{wrapped: map[uint64][]byte{}, days: map[string]uint64{}}
	return content.NewVault(ring, seal.NewSealer(ring, store, now), now), store
}

var sample = message.Message{To: "+919876543210", Text: "482913 is your OTP for ABC login. Do not share it. - ABCBNK"}

func place() message.Place {
	return message.Place{Env: "live", Tenant: uuid.Must(uuid.NewV7()), ID: uuid.Must(uuid.NewV7())}
}

func TestSealAndOpen(t *testing.T) {
	v, _ := newVault(t, time.Now)
	at := place()
	sealed, index, err := v.Seal(t.Context(), at, &sample)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("9876543210")) || bytes.Contains(sealed, []byte("OTP")) || len(index) != 16 {
		t.Errorf("sealed %q, index of %d bytes", sealed, len(index))
	}
	to, text, err := v.Open(t.Context(), at, sealed)
	if err != nil || to != sample.To || text != sample.Text {
		t.Errorf("opened %q %q, %v", to, text, err)
	}
	elsewhere := at
	elsewhere.ID = uuid.Must(uuid.NewV7())
	if _, _, err := v.Open(t.Context(), elsewhere, sealed); err == nil {
		t.Error("content opens under another message's id")
	}
	_, again, _ := v.Seal(t.Context(), elsewhere, &sample)
	other := at
	other.Tenant = uuid.Must(uuid.NewV7())
	_, stranger, _ := v.Seal(t.Context(), other, &sample)
	if !bytes.Equal(index, again) || bytes.Equal(index, stranger) {
		t.Error("the index must be the same for a tenant's number and differ between tenants")
	}
}

func TestPrepare(t *testing.T) {
	clock := time.Date(2026, 11, 22, 18, 25, 0, 0, time.UTC) // 23:55 IST
	v, store := newVault(t, func() time.Time { return clock })
	at := place()
	step := func(ahead time.Duration, wantDays int) {
		t.Helper()
		clock = clock.Add(ahead)
		if err := v.Prepare(t.Context(), at.Env, at.Tenant); err != nil || len(store.days) != wantDays {
			t.Errorf("%d days, %v; want %d", len(store.days), err, wantDays)
		}
	}
	step(0, 1)
	step(4*time.Minute, 1)
	step(time.Minute, 2) // midnight in India
	asked := store.asked
	if _, _, err := v.Seal(t.Context(), at, &sample); err != nil || store.asked != asked {
		t.Errorf("sealing after Prepare asked for a key; %v", err)
	}
	store.err = errs.E(errs.Unavailable, "", "away", nil)
	if err := v.Prepare(t.Context(), "test", at.Tenant); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("a key that cannot be had: %v", err)
	}
}

func TestHash(t *testing.T) {
	v, _ := newVault(t, time.Now)
	at := place()
	a, err := v.Hash("live", at.Tenant, "x")
	b, _ := v.Hash("live", at.Tenant, "x")
	c, _ := v.Hash("test", at.Tenant, "x")
	d, _ := v.Hash("live", at.Tenant, "y")
	if err != nil || a != b || a == c || a == d {
		t.Error("a hash must depend on environment and value, and on nothing else", err)
	}
}

func BenchmarkSeal(b *testing.B) {
	v, _ := newVault(b, time.Now)
	at := place()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := v.Seal(b.Context(), at, &sample); err != nil {
			b.Fatal(err)
		}
	}
}
