package door

import (
	"net"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf"
)

// BenchmarkUnary is what the door adds to a call: the same handler behind grpc's server with TLS alone, and behind the
// door with the check of a key, a record, a request id, a deadline and metrics. Compare allocations and, on a machine with
// nothing else to do, times; the clients' part is in both.
func BenchmarkUnary(b *testing.B) {
	w := newWorld(b)
	public, err := tlsconf.Public(filepath.Join(w.dir, "public.pem"), filepath.Join(w.dir, "public-key.pem"))
	if err != nil {
		b.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	bare := grpc.NewServer(grpc.Creds(credentials.NewTLS(publicTLS(public, "h2"))), grpc.NumStreamWorkers(streamWorkers))
	ingestv1.RegisterMessageServiceServer(bare, w.slow)
	go func() { _ = bare.Serve(listener) }()
	defer bare.Stop()
	for name, addr := range map[string]string{"bare": listener.Addr().String(), "door": w.GRPCAddr().String()} {
		b.Run(name, func(b *testing.B) {
			conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(credentials.NewTLS(w.tls())))
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			client, ctx := ingestv1.NewMessageServiceClient(conn), withKey(b, "all")
			request := &ingestv1.SendMessageRequest{Header: "ACCEPTED", To: "+919876543210", Text: "x"}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := client.SendMessage(ctx, request); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
