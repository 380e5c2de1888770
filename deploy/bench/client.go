package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/onlinesms/onlinesms/deploy/local/running"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
)

// The demo registry's OTP template (deploy/local/demo.yaml); the code makes every text unique.
const (
	entityID   = "1701158019811140068"
	header     = "ABCBNK"
	templateID = "1107160000000000011"
	textFormat = "%d is your OTP for ABC login. Do not share it. - ABCBNK"
)

const (
	batchSize = 100
	// connections share the load as several application servers would.
	connections = 4
	// batchesInFlight keeps the door busy without making it shed.
	batchesInFlight = 24
	singlesInFlight = 256
)

// client sends with the demo tenant's test key.
type client struct {
	services []ingestv1.MessageServiceClient
	next     atomic.Int64 // makes every message unique
}

func newClient(p *running.Platform) (*client, error) {
	pem, err := os.ReadFile(p.Env("ONLINESMS_CA_FILE"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("the CA file holds no certificate")
	}
	key := "Bearer " + p.Env("ONLINESMS_TEST_KEY")
	authorize := func(ctx context.Context, method string, in, out any, cc *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		return call(metadata.AppendToOutgoingContext(ctx, "authorization", key), method, in, out, cc, opts...)
	}
	c := &client{}
	for range connections {
		conn, err := grpc.NewClient(p.Env("ONLINESMS_GRPC_ADDR"), grpc.WithUnaryInterceptor(authorize),
			grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})))
		if err != nil {
			return nil, err
		}
		c.services = append(c.services, ingestv1.NewMessageServiceClient(conn))
	}
	c.next.Store(10_000_000)
	return c, nil
}

// unique answers a recipient and a text no other message has. Numbers begin with 97: none ends like one of the
// simulator's special numbers for at least a million messages.
func (c *client) unique() (to, text string) {
	n := c.next.Add(1)
	return fmt.Sprintf("+9197%08d", n), fmt.Sprintf(textFormat, n)
}

// batches sends count messages in batches of 100 by a number of workers.
func (c *client) batches(ctx context.Context, count, workers int) error {
	return spread(ctx, count/batchSize, workers, func(ctx context.Context, i int) error {
		request := &ingestv1.BatchSendMessagesRequest{Messages: make([]*ingestv1.OutgoingMessage, batchSize)}
		for j := range request.Messages {
			to, text := c.unique()
			request.Messages[j] = &ingestv1.OutgoingMessage{To: to, EntityId: entityID, Header: header, TemplateId: templateID, Text: text}
		}
		return retry(ctx, func(ctx context.Context) error {
			_, err := c.services[i%connections].BatchSendMessages(ctx, request)
			return err
		})
	})
}

// single sends one message and answers its id and how long the accept took.
func (c *client) single(ctx context.Context, i int) (string, time.Duration, error) {
	to, text := c.unique()
	request := &ingestv1.SendMessageRequest{To: to, EntityId: entityID, Header: header, TemplateId: templateID, Text: text}
	start := time.Now()
	sent, err := c.services[i%connections].SendMessage(ctx, request)
	return sent.GetMessageId(), time.Since(start), err
}

// singles sends count messages, singlesInFlight at a time, and answers the accepts' latencies.
func (c *client) singles(ctx context.Context, count int) ([]time.Duration, error) {
	latencies := make([]time.Duration, count)
	err := spread(ctx, count, singlesInFlight, func(ctx context.Context, i int) error {
		return retry(ctx, func(ctx context.Context) (err error) {
			_, latencies[i], err = c.single(ctx, i)
			return err
		})
	})
	return latencies, err
}

// spread calls work for 0..count-1 by a number of workers; the first error ends all.
func spread(ctx context.Context, count, workers int, work func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(workers, count) {
		wg.Go(func() {
			for i := int(next.Add(1) - 1); i < count && ctx.Err() == nil; i = int(next.Add(1) - 1) {
				if err := work(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}
