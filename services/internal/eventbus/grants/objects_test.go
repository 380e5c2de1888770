package grants_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// TestObjects: the object store of a service takes what its grant allows to be put, got, replaced and deleted, also when
// it is far larger than a message; other services reach none of it.
func TestObjects(t *testing.T) {
	s := guarded(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	objects, err := as(t, s, "compliance").Objects(ctx, "COMPLIANCE", 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	large := make([]byte, 5<<20)
	rand.Read(large)
	for _, content := range [][]byte{[]byte("first"), large} {
		if err := objects.Put(ctx, "x", bytes.NewReader(content)); err != nil {
			t.Fatal(err)
		}
		again, err := as(t, s, "compliance").Objects(ctx, "COMPLIANCE", 64<<20) // another replica
		if err != nil {
			t.Fatal(err)
		}
		r, err := again.Get(ctx, "x")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, content) {
			t.Fatalf("%d of %d bytes, %v", len(got), len(content), err)
		}
	}
	if err := errors.Join(objects.Delete(ctx, "x"), objects.Delete(ctx, "x")); err != nil {
		t.Fatal(err)
	}
	if _, err := objects.Get(ctx, "x"); errs.KindOf(err) != errs.NotFound {
		t.Error(err)
	}
	short, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	if _, err := as(t, s, "ingest").Objects(short, "COMPLIANCE", 64<<20); err == nil {
		t.Error("another service opens it")
	}
}
