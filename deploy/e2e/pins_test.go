//go:build e2e

package e2e

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/onlinesms/onlinesms/client"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
)

// pinsKey is the public half of the platform's signing key for pin sets, as its clients are given it beforehand.
func pinsKey(t *testing.T) ed25519.PublicKey {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(platform.Dir(), "keys", "pins"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(ed25519.PrivateKey).Public().(ed25519.PublicKey)
}

// Item 5 of the acceptance list, on the running platform with our own client: the pin set is fetched and its signature
// verified; with its pins a client connects, also when one of two is retired, with wrong ones it does not, by HTTPS and by
// gRPC, and on a resumed session the check runs again.
func TestItem5PinsOfTheRunningDoor(t *testing.T) {
	usual := &tls.Config{RootCAs: trust(t), MinVersion: tls.VersionTLS12}
	plain := &http.Client{Transport: &http.Transport{TLSClientConfig: usual.Clone()}}
	defer plain.CloseIdleConnections()
	set, err := client.FetchPinSet(t.Context(), plain, platform.Env("ONLINESMS_API_URL"), pinsKey(t), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	pins := set.SPKIs()
	if len(pins) != 3 {
		t.Fatalf("%d pins: current, next and backup are wanted", len(pins))
	}
	other, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.FetchPinSet(t.Context(), plain, platform.Env("ONLINESMS_API_URL"), other, time.Now); err == nil {
		t.Error("a set with another's signature is taken")
	}
	for name, test := range map[string]struct {
		pins []client.SPKI
		ok   bool
	}{"the set": {pins, true}, "one retired, one live": {[]client.SPKI{{1}, pins[0]}, true}, "wrong": {[]client.SPKI{{1}, {2}}, false}} {
		pinning, err := client.NewPinning(test.pins)
		if err != nil {
			t.Fatal(err)
		}
		cfg := usual.Clone()
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		for range 2 { // the second connection resumes
			web := &http.Client{Transport: pinning.Transport(cfg)}
			response, err := web.Get(platform.Env("ONLINESMS_API_URL") + "/v1/reasons")
			if err == nil {
				response.Body.Close()
			}
			web.CloseIdleConnections()
			if (err == nil) != test.ok || err != nil && !errors.Is(err, client.ErrPin) {
				t.Errorf("%s by HTTPS: %v", name, err)
			}
		}
		conn, err := grpc.NewClient(platform.Env("ONLINESMS_GRPC_ADDR"), grpc.WithTransportCredentials(pinning.Credentials(usual)))
		if err != nil {
			t.Fatal(err)
		}
		_, err = ingestv1.NewMessageServiceClient(conn).ListMessages(t.Context(), &ingestv1.ListMessagesRequest{})
		if connected := reasonIn(err) == "KEY_MISSING"; connected != test.ok {
			t.Errorf("%s by gRPC: %v", name, err)
		}
		conn.Close()
	}
}
