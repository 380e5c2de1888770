// Package content is what a message keeps secret, on its way into and out of the seal: number, text and variables as
// ingest.v1.Content, and the keyed hashes that stand for them where they must be found or compared.
package content

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
	"github.com/onlinesms/onlinesms/services/internal/seal"
)

// warmFor is how long a prepared key is taken for being at hand; the sealer itself keeps keys for an hour.
const warmFor = 10 * time.Minute

// ist is the zone by whose days data keys change.
var ist = time.FixedZone("IST", 5*3600+1800)

// Vault seals and opens content; it is a message.Vault. It is safe for concurrent use.
type Vault struct {
	keyring *seal.Keyring
	sealer  *seal.Sealer
	now     func() time.Time

	mu   sync.Mutex
	warm map[owner]time.Time // until
}

type owner struct {
	env    string
	tenant uuid.UUID
}

// NewVault makes a vault over the keys of keyring and sealer.
func NewVault(keyring *seal.Keyring, sealer *seal.Sealer, now func() time.Time) *Vault {
	return &Vault{keyring: keyring, sealer: sealer, now: now, warm: map[owner]time.Time{}}
}

// Prepare makes the sealer fetch the data key of the day, by sealing nothing, unless it did so lately; see message.Vault.
func (v *Vault) Prepare(ctx context.Context, env string, tenant uuid.UUID) error {
	now, o := v.now(), owner{env, tenant}
	v.mu.Lock()
	until := v.warm[o]
	v.mu.Unlock()
	if now.Before(until) {
		return nil
	}
	if _, err := v.sealer.Seal(ctx, nil, nil, seal.Binding{Env: env, Tenant: tenant, Class: seal.ClassContent}); err != nil {
		return err
	}
	y, m, d := now.In(ist).Date()
	midnight := time.Date(y, m, d+1, 0, 0, 0, 0, ist)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.warm[o] = now.Add(min(warmFor, midnight.Sub(now)))
	return nil
}

// buffers hold plain content between encoding and sealing.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// Seal seals m's number, text and variables for their place, and indexes the number; see message.Vault.
func (v *Vault) Seal(ctx context.Context, at message.Place, m *message.Message) (sealed, recipientIndex []byte, err error) {
	index, err := v.keyring.BlindIndex(at.Env, at.Tenant)
	if err != nil {
		return nil, nil, err
	}
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	plain, err := proto.MarshalOptions{}.MarshalAppend((*buffer)[:0], toProto(m))
	if err != nil {
		return nil, nil, err
	}
	defer clear(plain)
	*buffer = plain
	room := make([]byte, 0, len(plain)+64) // version, key id, nonce, tag and the index fit
	if sealed, err = v.sealer.Seal(ctx, room, plain, binding(at)); err != nil {
		return nil, nil, err
	}
	end := len(sealed)
	both := index.Of(sealed, m.To)
	return both[:end:end], both[end:], nil
}

func toProto(m *message.Message) *ingestv1.Content {
	c := &ingestv1.Content{To: m.To, Text: m.Text}
	for _, x := range m.Variables {
		c.Variables = append(c.Variables, &ingestv1.Variable{Name: x.Name, Value: x.Value})
	}
	return c
}

func binding(at message.Place) seal.Binding {
	return seal.Binding{Env: at.Env, Tenant: at.Tenant, Message: at.ID, Class: seal.ClassContent}
}

// Open gives number and text of sealed content back. The text is empty when the message was sent by variables.
func (v *Vault) Open(ctx context.Context, at message.Place, sealed []byte) (to, text string, err error) {
	plain, err := v.sealer.Opener().Open(ctx, nil, sealed, binding(at))
	if err != nil {
		return "", "", err
	}
	defer clear(plain)
	var c ingestv1.Content
	if err := proto.Unmarshal(plain, &c); err != nil {
		return "", "", errs.E(errs.Internal, "CONTENT_UNREADABLE", "the content cannot be read", err)
	}
	return c.GetTo(), c.GetText(), nil
}

// Hash is the keyed hash of value; see message.Vault.
func (v *Vault) Hash(env string, tenant uuid.UUID, value string) (h [16]byte, err error) {
	index, err := v.keyring.BlindIndex(env, tenant)
	if err != nil {
		return h, err
	}
	return [16]byte(index.Of(h[:0], value)), nil
}

// lasting is the place of what lasts. It belongs to a tenant, not to an environment: it is sealed under the live one's keys.
func lasting(tenant, id uuid.UUID) seal.Binding {
	return seal.Binding{Env: principal.Live, Tenant: tenant, Message: id, Class: seal.ClassLasting}
}

// SealLasting seals what a tenant keeps until it deletes it, for the row id it stands in.
func (v *Vault) SealLasting(ctx context.Context, tenant, id uuid.UUID, plain []byte) ([]byte, error) {
	return v.sealer.Seal(ctx, nil, plain, lasting(tenant, id))
}

// OpenLasting gives back what SealLasting sealed for the same tenant and row; errors are those of seal.Opener.
func (v *Vault) OpenLasting(ctx context.Context, tenant, id uuid.UUID, sealed []byte) ([]byte, error) {
	return v.sealer.Opener().Open(ctx, nil, sealed, lasting(tenant, id))
}
