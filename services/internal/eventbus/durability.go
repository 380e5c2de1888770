package eventbus

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// confirmSync asks the server's monitoring (/jsz, field config.sync_always) whether every write is flushed before it
// is acknowledged. With the default of two minutes a power cut lost whole streams.
func (b *Bus) confirmSync(ctx context.Context) error {
	always, err := syncAlways(ctx, b.cfg)
	if err != nil {
		return errs.E(errs.Unavailable, "NATS_AWAY", "NATS monitoring does not answer", err)
	}
	b.synced.Store(always)
	if !always {
		return errs.E(errs.Unavailable, "NATS_NOT_DURABLE", "NATS must run with jetstream sync_interval: always", nil)
	}
	return nil
}

func syncAlways(ctx context.Context, cfg Config) (bool, error) {
	client, err := cfg.monitoring()
	if err != nil {
		return false, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(cfg.MonitorURL, "/")+"/jsz", nil)
	if err != nil {
		return false, err
	}
	res, err := client.Do(req)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return false, fmt.Errorf("status %s", res.Status)
	}
	var jsz struct {
		Config struct {
			SyncAlways bool `json:"sync_always"`
		} `json:"config"`
	}
	err = json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&jsz)
	return jsz.Config.SyncAlways, err
}
