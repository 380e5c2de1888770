package seal

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Classes of sealed data; the retention class decides when a day's key is destroyed.
const (
	ClassContent = "content" // number, text, variables of a message
	// ClassLasting is what a tenant keeps until it deletes it (TOTP seeds, e-mail addresses, client secrets,
	// secrets of webhooks): one data key
	// without a day.
	ClassLasting = "lasting"
)

// Binding ties a sealed value to its place: opened anywhere else (row, tenant, environment, class) it fails. It is the
// AAD `v1|env|tenant|message_id|class|key_id`.
type Binding struct {
	Env     string
	Tenant  uuid.UUID
	Message uuid.UUID
	Class   string
}

// KEK is the key-encryption key's provider: a local key now; Vault/OpenBao transit, AWS KMS, GCP KMS in step 6.
// Errors are errs.Unavailable when the provider is away and errs.Denied when it refuses.
type KEK interface {
	Wrap(ctx context.Context, plain []byte) ([]byte, error)
	Unwrap(ctx context.Context, wrapped []byte) ([]byte, error)
}

// DataKeys is where wrapped data keys are kept: ingest's PostgreSQL, and ContentKeyService for the others.
type DataKeys interface {
	// Wrapped answers the wrapped data key with this id; errs.NotFound once it is destroyed, for ever.
	Wrapped(ctx context.Context, id uint64) ([]byte, error)
}

// DataKeyStore also mints: ingest's own, and dispatch's by ContentKeyService for what lasts.
type DataKeyStore interface {
	DataKeys
	// Current answers id and wrapped key for (env, tenant, IST day, class), calling mint and storing its result durably
	// when there is none yet. Concurrent callers get the same key.
	Current(ctx context.Context, env string, tenant uuid.UUID, day time.Time, class string,
		mint func(id uint64) (wrapped []byte, err error)) (id uint64, wrapped []byte, err error)
}
