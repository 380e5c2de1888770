package app

import (
	"context"
	"os"
	"time"

	"github.com/onlinesms/onlinesms/services/ingest/internal/consumer"
	store "github.com/onlinesms/onlinesms/services/ingest/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// DeadLetters lists events that were given up, or treats them again: `dead-letters list | replay <id> | replay all`.
func DeadLetters(ctx context.Context, args []string) error {
	cfg, err := service.LoadConfig[postgres.Config]()
	if err != nil {
		return err
	}
	db, err := postgres.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer db.Close()
	handler := consumer.NewHandler(store.NewStore(db, nil, time.Now))
	return outbox.NewDeadLetters(db.Worker).Command(ctx, args, handler.Handle, os.Stdout)
}
