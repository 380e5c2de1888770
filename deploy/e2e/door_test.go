//go:build e2e

package e2e

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
)

func TestWrongKeyIsRefused(t *testing.T) {
	valid := keyOf(t, demoTenant, "test")
	for name, key := range map[string]string{"none": "", "made up": "osms_test_0000", "changed": valid[:len(valid)-2] + "zz"} {
		t.Run(name, func(t *testing.T) {
			got := call(t, http.MethodGet, "/v1/messages", key, "")
			if got.status != http.StatusUnauthorized {
				t.Errorf("status %d, want 401", got.status)
			}
			if !strings.Contains(string(got.body), "KEY_") {
				t.Errorf("body %s names no reason", got.body)
			}
			if got.header.Get("Strict-Transport-Security") == "" {
				t.Error("no Strict-Transport-Security")
			}
			client := ingestv1.NewMessageServiceClient(dial(t, platform.Env("ONLINESMS_GRPC_ADDR"), key))
			_, err := client.ListMessages(t.Context(), &ingestv1.ListMessagesRequest{})
			if status.Code(err) != codes.Unauthenticated {
				t.Errorf("gRPC answers %v, want UNAUTHENTICATED", err)
			}
		})
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	api, err := url.Parse(platform.Env("ONLINESMS_API_URL"))
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{api.Host, platform.Env("ONLINESMS_GRPC_ADDR")} {
		for version, accepted := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
			dialer := &tls.Dialer{Config: &tls.Config{RootCAs: trust(t), MinVersion: tls.VersionTLS10, MaxVersion: version, NextProtos: []string{"h2"}}}
			conn, err := dialer.DialContext(t.Context(), "tcp", addr)
			if err == nil {
				conn.Close()
			}
			if (err == nil) != accepted {
				t.Errorf("%s on %s: %v", tls.VersionName(version), addr, err)
			}
		}
	}
}

// The demo's allow-list: the restricted key is refused from 127.0.0.1 and taken from 127.0.0.2.
func TestDemoAllowList(t *testing.T) {
	for from, want := range map[string]int{"127.0.0.1": http.StatusForbidden, "127.0.0.2": http.StatusOK} {
		dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		transport := &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{RootCAs: trust(t)}}
		defer transport.CloseIdleConnections()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, platform.Env("ONLINESMS_API_URL")+"/v1/messages", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+platform.Env("ONLINESMS_RESTRICTED_KEY"))
		request.Header.Set("X-Forwarded-For", "127.0.0.2") // believed of nobody
		response, err := (&http.Client{Transport: transport}).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != want || want == http.StatusForbidden && !strings.Contains(string(body), "ADDRESS_NOT_ALLOWED") {
			t.Errorf("from %s: %d %s", from, response.StatusCode, body)
		}
	}
	client := ingestv1.NewMessageServiceClient(dial(t, platform.Env("ONLINESMS_GRPC_ADDR"), platform.Env("ONLINESMS_RESTRICTED_KEY")))
	if _, err := client.ListMessages(t.Context(), &ingestv1.ListMessagesRequest{}); reasonIn(err) != "ADDRESS_NOT_ALLOWED" {
		t.Errorf("by gRPC: %v", err)
	}
}

func TestOpenPathsNeedNoKey(t *testing.T) {
	for _, path := range []string{"/openapi.json", "/docs"} {
		if got := call(t, http.MethodGet, path, "", ""); got.status != http.StatusOK || len(got.body) == 0 {
			t.Errorf("%s answers %d with %d bytes", path, got.status, len(got.body))
		}
	}
}
