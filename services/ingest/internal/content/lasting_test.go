package content_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/uuid"
)

// What lasts is sealed under one data key a tenant, opens years later, and only for its tenant and row.
func TestLasting(t *testing.T) {
	now := time.Now()
	vault, _ := newVault(t, func() time.Time { return now })
	tenant, id := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	sealed, err := vault.SealLasting(t.Context(), tenant, id, []byte("a seed"))
	if err != nil || bytes.Contains(sealed, []byte("seed")) {
		t.Fatalf("%x, %v", sealed, err)
	}
	now = now.Add(3 * 365 * 24 * time.Hour)
	later, err := vault.SealLasting(t.Context(), tenant, id, []byte("another"))
	if err != nil || !bytes.Equal(sealed[1:9], later[1:9]) {
		t.Errorf("another data key, %v", err)
	}
	if plain, err := vault.OpenLasting(t.Context(), tenant, id, sealed); err != nil || string(plain) != "a seed" {
		t.Errorf("%q, %v", plain, err)
	}
	for name, at := range map[string][2]uuid.UUID{"another row": {tenant, tenant}, "another tenant": {id, id}} {
		if _, err := vault.OpenLasting(t.Context(), at[0], at[1], sealed); err == nil {
			t.Errorf("opened in %s", name)
		}
	}
}
