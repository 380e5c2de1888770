package app

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"flag"
	"io"
	"os"
	"time"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
	store "github.com/onlinesms/onlinesms/services/dispatch/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// ParkedReceipts lists receipts whose message is not known, of the last 30 days, the newest first, a line of JSON each:
// `parked-receipts [-limit 50] [-before 2026-01-31T10:00:00Z]`. They belong to no tenant, and so to whoever runs the
// platform.
func ParkedReceipts(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("parked-receipts", flag.ContinueOnError)
	limit := flags.Int("limit", 50, "how many at most")
	before := time.Now()
	flags.Func("before", "only those received before this time (RFC 3339); default now", func(s string) (err error) {
		before, err = time.Parse(time.RFC3339Nano, s)
		return err
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	cfg, err := service.LoadConfig[postgres.Config]()
	if err != nil {
		return err
	}
	db, err := postgres.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer db.Close()
	list, err := store.New(db.Worker, func(...eventbus.Parcel) {}, nil, newID, time.Now).Parked(ctx, before, max(*limit, 1))
	if err != nil {
		return err
	}
	return printParked(os.Stdout, list)
}

func printParked(w io.Writer, list []delivery.Receipt) error {
	lines := json.NewEncoder(w)
	for i := range list {
		r := &list[i]
		if err := lines.Encode(map[string]any{
			"route": r.Route, "operatorId": r.OperatorID, "state": int(r.State), "code": r.Code,
			"receiveTime": r.Received.UTC(), "pduSha256": hex.EncodeToString(r.Hash[:]),
		}); err != nil {
			return err
		}
	}
	return nil
}
