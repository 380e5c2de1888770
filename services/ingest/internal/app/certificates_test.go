package app

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
)

// A key bound to a client certificate needs it, by gRPC and both versions of HTTP.
func TestCertificateBoundKeys(t *testing.T) {
	w := newWorld(t)
	cert, err := tls.LoadX509KeyPair(w.path("dispatch.pem"), w.path("dispatch-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	key := w.key(t, "live", nil, "messages:read")
	w.setKey(t, key, "certificate_sha256 = sha256('\\x"+hexOf(cert.Certificate[0])+"')")
	for name, certificates := range map[string][]tls.Certificate{"with": {cert}, "without": nil} {
		config := &tls.Config{RootCAs: w.roots, ServerName: "localhost", Certificates: certificates}
		for protocol, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: config.Clone(), ForceAttemptHTTP2: h2}}
			code, body := w.get(t, client, key)
			if want := map[string]int{"with": 200, "without": 401}[name]; code != want {
				t.Errorf("%s the certificate by %s: %d %s", name, protocol, code, body)
			}
			client.CloseIdleConnections()
		}
		conn, err := grpc.NewClient(w.door.GRPCAddr().String(), grpc.WithTransportCredentials(credentials.NewTLS(config)))
		if err != nil {
			t.Fatal(err)
		}
		_, err = ingestv1.NewMessageServiceClient(conn).ListMessages(as(t, key), &ingestv1.ListMessagesRequest{})
		if want := map[string]string{"with": "", "without": "CERTIFICATE_REQUIRED"}[name]; reasonOf(err) != want {
			t.Errorf("%s the certificate by gRPC: %v", name, err)
		}
		conn.Close()
	}
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
	}
	return s.String()
}
