package eventbus

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/secret"
)

const (
	requestTimeout = 5 * time.Second        // of one JetStream API request or PubAck
	reconnectWait  = 250 * time.Millisecond // short: a restarted local server is back in a second; jitter is added
	pingInterval   = 10 * time.Second       // two unanswered pings make a half-open connection known
)

// Config says where NATS is. The tags are those of caarlos0/env.
type Config struct {
	URL         string     `env:"NATS_URL"`                                  // tls://host:port, several with commas
	CAFile      string     `env:"NATS_CA_FILE"`                              // PEM: who may sign the server's certificate
	Creds       secret.Ref `env:"NATS_CREDS"`                                // user JWT and seed, followed; empty: none
	MonitorURL  string     `env:"NATS_MONITOR_URL"`                          // https://host:port of the server's monitoring
	StreamBytes int64      `env:"NATS_STREAM_BYTES" envDefault:"1073741824"` // budget of the service's own streams together; 0: 1 GiB
	Replicas    int        `env:"NATS_REPLICAS" envDefault:"1"`              // copies of each own stream: 1, 3 or 5; 0: 1
}

// Bus is a connection of one service. It is safe for concurrent use.
type Bus struct {
	conn      *nats.Conn
	stop      context.CancelFunc // of what follows the credentials
	js        jetstream.JetStream
	cfg       Config
	transport []nats.Option // how every connection is secured
	service   string
	log       *slog.Logger
	now       func() time.Time

	synced atomic.Bool   // the server's monitoring has shown sync_always
	deaf   atomic.Int32  // broadcasts that have never stood yet
	nudged chan struct{} // asks RunPurge to look at the own streams at once

	mu    sync.Mutex
	owned []Stream // what Own was given; re-created when lost
}

// Connect opens the service's connection. It does not fail when NATS is away: it connects, and reconnects, for ever.
// It trusts only a server that speaks TLS and whose certificate, for the host of its URL, is signed by an authority of
// cfg.CAFile; it waits for one. An error means settings that can never work: a bad URL, one without TLS, unreadable
// authorities or credentials (errs.Invalid). Credentials are followed until Close or the end of ctx.
func Connect(ctx context.Context, cfg Config, service string) (*Bus, error) {
	if err := cfg.checkTransport(); err != nil {
		return nil, err
	}
	return connect(ctx, cfg, service, cfg.transport())
}

func connect(ctx context.Context, cfg Config, service string, transport []nats.Option) (*Bus, error) {
	b := &Bus{cfg: cfg, transport: transport, service: service, now: time.Now, nudged: make(chan struct{}, 1),
		log: slog.Default().With(slog.String("room", "eventbus"))}
	following, stop := context.WithCancel(ctx)
	options, err := b.options(following)
	if err == nil {
		b.conn, err = nats.Connect(cfg.URL, options...)
	}
	if err != nil {
		stop()
		return nil, errs.E(errs.Invalid, "NATS_SETTINGS", "NATS settings cannot be used", err)
	}
	b.stop = stop
	b.js, err = jetstream.New(b.conn,
		jetstream.WithDefaultTimeout(requestTimeout), jetstream.WithPublishAsyncTimeout(requestTimeout))
	if err != nil {
		b.Close()
		return nil, errs.E(errs.Internal, "NATS_SETTINGS", "JetStream client cannot be made", err)
	}
	return b, nil
}

func (b *Bus) options(ctx context.Context) ([]nats.Option, error) {
	options := append(slices.Clone(b.transport),
		nats.Name(b.service),
		nats.CustomInboxPrefix(InboxPrefix(b.service)), // one prefix a service, so that grants can name it
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(100*time.Millisecond, 500*time.Millisecond),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(2),
		nats.ConnectHandler(func(*nats.Conn) { signal(b.nudged) }),
		nats.ReconnectHandler(func(*nats.Conn) {
			b.log.Info("NATS is back")
			signal(b.nudged)
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				b.log.Warn("NATS is away", slog.Any("error", err))
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			b.log.Warn("NATS reported an error", slog.String("subject", subjectOf(sub)), slog.Any("error", err))
		}),
		// A server that shows no certificate we trust is looked at again and again; the log must say why.
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			b.log.Warn("NATS cannot be connected to", slog.Any("error", err))
		}),
		// A server that restarts with an older view of users may refuse once; reconnecting for ever means just that.
		nats.IgnoreAuthErrorAbort(),
	)
	if b.cfg.Creds == "" {
		return options, nil
	}
	credentials, err := b.credentials(ctx)
	return append(options, credentials), err
}

// InboxPrefix is the only reply space a service may listen on: _INBOX_<service>.
func InboxPrefix(service string) string { return "_INBOX_" + service }

func subjectOf(sub *nats.Subscription) string {
	if sub == nil {
		return ""
	}
	return sub.Subject
}

// Close ends the connection at once. Stop Publisher.Run and Consume first: they drain.
func (b *Bus) Close() {
	b.stop()
	b.conn.Close()
}

// Ready is nil while events can be published and every broadcast has stood; else errs.Unavailable.
func (b *Bus) Ready() error {
	if err := b.durable(); err != nil {
		return err
	}
	if b.deaf.Load() > 0 {
		return errs.E(errs.Unavailable, "NATS_BROADCAST", "broadcasts of other replicas are not heard yet", nil)
	}
	return nil
}

// durable is nil while the connection stands and the server has been seen to sync always: publishing needs no more.
func (b *Bus) durable() error {
	switch {
	case !b.conn.IsConnected():
		return errs.E(errs.Unavailable, "NATS_AWAY", "NATS is not connected", nil)
	case !b.synced.Load():
		return errs.E(errs.Unavailable, "NATS_NOT_DURABLE", "NATS has not shown sync_interval: always yet", nil)
	}
	return nil
}

// backoff doubles from first with each try (0 is the first) up to limit.
func backoff(try int, first, limit time.Duration) time.Duration {
	if try > 16 {
		return limit
	}
	return min(first<<max(try, 0), limit)
}

// absent tells whether err says that a stream or consumer is not there, as after a server was rebuilt.
func absent(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound) ||
		errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) ||
		errors.Is(err, jetstream.ErrConsumerDeleted)
}
