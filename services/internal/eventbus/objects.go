package eventbus

import (
	"context"
	"errors"
	"io"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// objectChunk is the size of an object's chunks, well below what a server takes as one message.
const objectChunk = 512 << 10

// Objects is an object store of JetStream: where replicas of a service find files too large for an event. What is put in
// has to be sealed before. Like a stream it can be lost: whoever puts something there must be able to do so again.
type Objects struct{ store jetstream.ObjectStore }

// Objects makes the object store of this name be there, with room for so many bytes, and opens it.
func (b *Bus) Objects(ctx context.Context, bucket string, maxBytes int64) (*Objects, error) {
	store, err := b.js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: bucket, MaxBytes: maxBytes,
		Storage: jetstream.FileStorage, Replicas: max(1, b.cfg.Replicas)})
	if err != nil {
		return nil, away("the object store cannot be opened", err)
	}
	return &Objects{store}, nil
}

// Put stores everything of r under a name. An object of that name is there as before until the new one is whole.
func (o *Objects) Put(ctx context.Context, name string, r io.Reader) error {
	_, err := o.store.Put(ctx, jetstream.ObjectMeta{Name: name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: objectChunk}}, r)
	return away("the object cannot be stored", err)
}

// Get answers a reader of an object; errs.NotFound when it is not there. Reading fails when the object was not whole.
func (o *Objects) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	object, err := o.store.Get(ctx, name)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil, errs.E(errs.NotFound, "NATS_OBJECT_NOT_FOUND", "the object store has no such object", err)
	}
	return object, away("the object cannot be read", err)
}

// Delete removes an object; one that is not there is no error.
func (o *Objects) Delete(ctx context.Context, name string) error {
	if err := o.store.Delete(ctx, name); err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		return away("the object cannot be deleted", err)
	}
	return nil
}

func away(what string, err error) error {
	if err == nil {
		return nil
	}
	return errs.E(errs.Unavailable, "NATS_AWAY", what, err)
}
