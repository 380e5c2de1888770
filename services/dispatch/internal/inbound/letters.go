package inbound

import (
	"context"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/seal"
)

// Letters opens messages for who may read them, and makes the keyed hashes of numbers.
type Letters struct {
	opener  Opener
	keyring *seal.Keyring
}

// NewLetters makes them.
func NewLetters(opener Opener, keyring *seal.Keyring) *Letters { return &Letters{opener, keyring} }

// Read answers number and text; errs.NotFound once they are erased.
func (l *Letters) Read(ctx context.Context, m *Message) (from, text string, err error) {
	plain, err := l.opener.Open(ctx, nil, m.Sealed, Binding(m.Env, m.Tenant, m.ID))
	if err != nil {
		return "", "", err
	}
	defer clear(plain)
	c := &dispatchv1.InboundContent{}
	if err := proto.Unmarshal(plain, c); err != nil {
		return "", "", errs.E(errs.Internal, "CONTENT_UNREADABLE", "the content cannot be read", err)
	}
	return c.GetFrom(), c.GetText(), nil
}

// Index is the keyed hash of a number, equal to that of messages to it.
func (l *Letters) Index(env string, tenant uuid.UUID, number string) (h [16]byte, err error) {
	index, err := l.keyring.BlindIndex(env, tenant)
	if err != nil {
		return h, err
	}
	return [16]byte(index.Of(h[:0], number)), nil
}

// Recipient is a number's keyed hash in an environment, without a tenant, by which receipts are matched that name an id
// nobody knows. While the key cannot be had it is zero: such a receipt is parked only.
func (l *Letters) Recipient(env, number string) [16]byte {
	h, err := l.Index(env, uuid.Nil, number)
	if err != nil {
		return [16]byte{}
	}
	return h
}
