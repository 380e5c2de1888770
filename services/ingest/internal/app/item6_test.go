package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf/devca"
)

// Item 6: the public certificate is replaced on disk fifty times under load, over kept and over new connections, JSON and
// gRPC. No request fails, and the last certificate is shown soon, without a restart.
func TestItem6PublicCertificateIsReplacedUnderLoad(t *testing.T) {
	w := newWorld(t)
	trusted := &tls.Config{RootCAs: w.roots, ServerName: "localhost"}
	fresh := &http.Client{Transport: &http.Transport{TLSClientConfig: trusted.Clone(), DisableKeepAlives: true}}
	address := "https://" + w.door.HTTPAddr().String() + "/v1/reasons"
	ctx, stop := context.WithCancel(as(t, w.live))
	var made atomic.Int64
	var load sync.WaitGroup
	for name, request := range map[string]func() error{
		"JSON, kept":  func() error { return reasons(w.https, address) },
		"JSON, fresh": func() error { return reasons(fresh, address) },
		"gRPC, kept":  func() error { return answered(ctx, w.grpc) },
		"gRPC, fresh": func() error {
			conn, err := grpc.NewClient(w.door.GRPCAddr().String(), grpc.WithTransportCredentials(credentials.NewTLS(trusted.Clone())))
			if err != nil {
				return err
			}
			defer conn.Close()
			return answered(ctx, conn)
		},
	} {
		load.Go(func() {
			for ctx.Err() == nil {
				if err := request(); err != nil && ctx.Err() == nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				made.Add(1)
			}
		})
	}
	for range 50 {
		before := made.Load()
		replacePublic(t, w)
		eventually(t, "some requests pass", func() bool { return made.Load() >= before+2 })
	}
	want, err := tls.LoadX509KeyPair(w.path("public.pem"), w.path("public-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the last certificate is shown", func() bool {
		conn, err := tls.Dial("tcp", w.door.HTTPAddr().String(), trusted)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Cmp(want.Leaf.SerialNumber) == 0
	})
	stop()
	load.Wait()
	t.Logf("50 replacements, %d requests", made.Load())
}

func replacePublic(t *testing.T, w *world) {
	t.Helper()
	if err := os.Remove(w.path("public.pem")); err != nil {
		t.Fatal(err)
	}
	if err := devca.Issue(w.dir, "public", nil, ""); err != nil {
		t.Fatal(err)
	}
}

func reasons(client *http.Client, address string) error {
	response, err := client.Get(address)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", response.Status)
	}
	return nil
}

// answered asks for a message that is not there: an answer of the service itself.
func answered(ctx context.Context, conn grpc.ClientConnInterface) error {
	_, err := ingestv1.NewMessageServiceClient(conn).GetMessage(ctx, &ingestv1.GetMessageRequest{MessageId: "0193aaaa-0000-7000-8000-000000000001"})
	if status.Code(err) == codes.NotFound {
		return nil
	}
	return fmt.Errorf("GetMessage: %w", err)
}
