package eventbus

import (
	"context"

	"github.com/nats-io/nats.go"
)

// ConnectInClear is Connect without TLS, for the benchmark that compares the two.
func ConnectInClear(cfg Config, service string) (*Bus, error) {
	return connect(context.Background(), cfg, service, nil)
}

// ConnectWith is Connect with one more option.
func ConnectWith(cfg Config, service string, option nats.Option) (*Bus, error) {
	return connect(context.Background(), cfg, service, append(cfg.transport(), option))
}
