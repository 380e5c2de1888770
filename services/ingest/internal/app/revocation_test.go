package app

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
)

const (
	loadPerSecond = 1000 // on both replicas together
	loadCallers   = 8    // of each replica
	revocations   = 20
)

// load is a steady stream of calls with one key at a time to several replicas.
type load struct {
	key   atomic.Pointer[loadKey]
	calls atomic.Int64
}

// loadKey is a key under load; what is known of it, by replica.
type loadKey struct {
	secret  string
	taken   []atomic.Int64 // calls that were answered
	last    []atomic.Int64 // when the latest of them began, Unix nanoseconds
	refused []atomic.Int64 // calls that were refused as revoked
}

func newLoadKey(secret string, replicas int) *loadKey {
	return &loadKey{secret, make([]atomic.Int64, replicas), make([]atomic.Int64, replicas), make([]atomic.Int64, replicas)}
}

// run calls until ctx ends, loadPerSecond in all where the machine can.
func (l *load) run(ctx context.Context, t *testing.T, replicas []*grpc.ClientConn) (wait func()) {
	var ended sync.WaitGroup
	for i, conn := range replicas {
		client := ingestv1.NewMessageServiceClient(conn)
		for range loadCallers {
			ended.Go(func() {
				pace := time.NewTicker(time.Second * time.Duration(loadCallers*len(replicas)) / loadPerSecond)
				defer pace.Stop()
				for {
					select {
					case <-ctx.Done():
						return
					case <-pace.C:
					}
					l.call(t, client, i)
				}
			})
		}
	}
	return ended.Wait
}

func (l *load) call(t *testing.T, client ingestv1.MessageServiceClient, replica int) {
	k := l.key.Load()
	began := time.Now().UnixNano()
	_, err := client.ListMessages(as(t, k.secret), &ingestv1.ListMessagesRequest{PageSize: 1})
	l.calls.Add(1)
	switch {
	case err == nil:
		k.taken[replica].Add(1)
		for was := k.last[replica].Load(); was < began && !k.last[replica].CompareAndSwap(was, began); was = k.last[replica].Load() {
		}
	case reasonOf(err) == "KEY_REVOKED":
		k.refused[replica].Add(1)
	case t.Context().Err() == nil:
		t.Errorf("under load: %v", err)
	}
}

// each tells whether all of counts have reached n.
func each(counts []atomic.Int64, n int64) bool {
	for i := range counts {
		if counts[i].Load() < n {
			return false
		}
	}
	return true
}

// Item 14 of the acceptance list: while 1,000 calls a second run on two replicas, one revokes the key; the last call that
// either takes began within a second of the revocation's answer, in each of 20 tries.
func TestItem14Revocation(t *testing.T) {
	w := newWorld(t)
	manager := w.key(t, "live", nil, "keys:write", "keys:read", "messages:read")
	replicas := []*grpc.ClientConn{w.grpc, w.replica(t)}
	eventually(t, "both replicas to listen", func() bool { return w.heard(t, manager, replicas[1]) })
	make := func() (id string, k *loadKey) {
		made, err := w.keys().CreateApiKey(as(t, manager), &ingestv1.CreateApiKeyRequest{Name: "doomed", Scopes: []string{"messages:read"}})
		if err != nil {
			t.Fatal(err)
		}
		return made.GetApiKey().GetKeyId(), newLoadKey(made.GetSecret(), len(replicas))
	}
	l, id := &load{}, ""
	id, k := make()
	l.key.Store(k)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	start := time.Now()
	wait := l.run(ctx, t, replicas)
	var took []time.Duration
	for range revocations {
		eventually(t, "both replicas to take the key", func() bool { return each(k.taken, 10) })
		if _, err := w.keys().RevokeApiKey(as(t, manager), &ingestv1.RevokeApiKeyRequest{KeyId: id, Reason: "test"}); err != nil {
			t.Fatal(err)
		}
		answered := time.Now()
		eventually(t, "both replicas to refuse the key", func() bool { return each(k.refused, 10) })
		for i := range replicas {
			took = append(took, time.Unix(0, k.last[i].Load()).Sub(answered))
		}
		id, k = make()
		l.key.Store(k)
	}
	stop()
	wait()
	t.Logf("%.0f calls/s; last taken at most %v after the answer", float64(l.calls.Load())/time.Since(start).Seconds(), slices.Max(took))
	if worst := slices.Max(took); worst > time.Second {
		t.Errorf("still taken %v after the answer", worst)
	}
}

// Item 14 with NATS away: nobody can tell the other replica, and it finds out by itself within 30 s, in use all the time.
func TestItem14RevocationWithoutTheBus(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	t.Parallel()
	w := newWorld(t)
	manager := w.key(t, "live", nil, "keys:write", "messages:read")
	other := ingestv1.NewMessageServiceClient(w.replica(t))
	made, err := w.keys().CreateApiKey(as(t, manager), &ingestv1.CreateApiKeyRequest{Name: "doomed", Scopes: []string{"messages:read"}})
	if err != nil {
		t.Fatal(err)
	}
	use := func() error {
		_, err := other.ListMessages(as(t, made.GetSecret()), &ingestv1.ListMessagesRequest{PageSize: 1})
		return err
	}
	if err := use(); err != nil {
		t.Fatal(err)
	}
	w.nats.Stop()
	if _, err := w.keys().RevokeApiKey(as(t, manager), &ingestv1.RevokeApiKeyRequest{KeyId: made.GetApiKey().GetKeyId()}); err != nil {
		t.Fatalf("revoking without the bus: %v", err)
	}
	answered, last := time.Now(), time.Time{}
	for pace := time.NewTicker(10 * time.Millisecond); ; <-pace.C {
		began := time.Now()
		if err := use(); err == nil {
			last = began
		} else if reasonOf(err) == "KEY_REVOKED" {
			break
		} else {
			t.Fatal(err)
		}
		if time.Since(answered) > time.Minute {
			t.Fatal("the key is never refused")
		}
	}
	if took := last.Sub(answered); took > 30*time.Second {
		t.Errorf("still taken %v after the answer", took)
	}
}

// heard tells whether the replica behind conn hears of a revocation within half a second: a replica that has just
// started does not listen yet, and finds out by itself within 30 s.
func (w *world) heard(t *testing.T, manager string, conn *grpc.ClientConn) bool {
	t.Helper()
	made, err := w.keys().CreateApiKey(as(t, manager), &ingestv1.CreateApiKeyRequest{Name: "probe", Scopes: []string{"messages:read"}})
	if err != nil {
		t.Fatal(err)
	}
	use := func() error {
		_, err := ingestv1.NewMessageServiceClient(conn).ListMessages(as(t, made.GetSecret()), &ingestv1.ListMessagesRequest{})
		return err
	}
	if err := use(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.keys().RevokeApiKey(as(t, manager), &ingestv1.RevokeApiKeyRequest{KeyId: made.GetApiKey().GetKeyId()}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); {
		if use() != nil {
			return true
		}
	}
	return false
}
