package app

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/webhook"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// TestServeWebhooks takes messages from the bus to a tenant's receiver and to a stream: every state of each, once.
func TestServeWebhooks(t *testing.T) {
	h := newHouse(t)
	var mu sync.Mutex
	seen := map[string]int{}
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		var event struct {
			Type, Challenge string
			Data            struct{ MessageID string }
		}
		_ = json.Unmarshal(content, &event)
		_ = json.NewEncoder(w).Encode(map[string]string{"challenge": event.Challenge})
		mu.Lock()
		defer mu.Unlock()
		seen[event.Type+" "+event.Data.MessageID]++
	}))
	t.Cleanup(receiver.Close)
	h.cfg.Webhooks.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	h.must(os.WriteFile(h.cfg.Webhooks.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: receiver.Certificate().Raw}), 0o600))
	d, err := open(t.Context(), h.cfg, slog.New(slog.DiscardHandler))
	h.must(err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx, slog.New(slog.DiscardHandler), d.tasks()...) }()
	until(t, "ready", func() bool { return d.ready() == nil })

	e, _, err := d.webhooks.endpoints.Create(t.Context(), h.tenant, "test", webhook.Wish{URL: receiver.URL})
	h.must(err)
	_, err = d.webhooks.endpoints.Verify(t.Context(), webhook.Place{Tenant: h.tenant, Env: "test", Endpoint: e.ID})
	h.must(err)
	followed := make(chan string, 1_000)
	following, hangUp := context.WithCancel(t.Context())
	stands := make(chan struct{})
	over := make(chan error, 1)
	go func() {
		first := sync.OnceFunc(func() { close(stands) })
		cursor, err := "", error(nil)
		for following.Err() == nil { // FEED is being made: come again, as a client does
			err = d.webhooks.streams.Follow(following, h.tenant, "test", cursor, []string{"message.delivered"}, func(b *webhook.Batch) error {
				first()
				cursor = b.Cursor
				for _, m := range b.News {
					followed <- b.Type + " " + m.GetMessageId()
				}
				return nil
			})
		}
		over <- err
	}()
	<-stands
	messages := append(h.clear(eventbus.LaneBulk, 50), h.clear(eventbus.LaneOTP, 1)...)
	for _, id := range messages {
		for _, kind := range []string{"message.queued ", "message.submitted ", "message.delivered "} {
			until(t, kind+id.String(), func() bool { mu.Lock(); defer mu.Unlock(); return seen[kind+id.String()] == 1 })
		}
	}
	streamed := map[string]bool{}
	until(t, "the stream tells of all", func() bool {
		for len(followed) > 0 {
			streamed[<-followed] = true
		}
		return len(streamed) == len(messages)
	})
	hangUp()
	h.must(<-over)
	stop()
	h.must(<-ended)
	d.close()
}

func TestLoopbackReceiversNeedALoopbackPlatform(t *testing.T) {
	c := WebhookConfig{Loopback: true, PerEndpoint: 1, Total: 2}
	if err := c.validate("127.0.0.1:9000", "[::1]:0", "localhost:1", "tls://127.0.0.1:4222"); err != nil {
		t.Errorf("on loopback: %v", err)
	}
	for _, peer := range []string{"0.0.0.0:9000", "ingest:9000", "tls://nats:4222", "10.0.0.1:1"} {
		if c.validate("127.0.0.1:9000", peer) == nil {
			t.Errorf("taken beside %s", peer)
		}
	}
}
