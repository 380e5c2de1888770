package natsauth

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
)

func TestIssuedTokensHoldTheGrantsAndNoMore(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "nats.json")
	keys, err := OpenKeys(file, []string{"ingest", "feed"})
	if err != nil {
		t.Fatal(err)
	}
	grants := []Grant{
		{User: "ingest", Publish: []string{"onlinesms.ingest.v1.>"}, Subscribe: []string{"_INBOX_ingest.>"}},
		{User: "feed", Outside: true, Publish: []string{"$JS.API.STREAM.INFO.FEED"}, Subscribe: []string{"_INBOX_x.>"}},
	}
	exports := []Export{{Subject: "$JS.API.STREAM.INFO.FEED"}, {Subject: "$JS.API.CONSUMER.MSG.NEXT.FEED.*", Stream: true}}
	made, err := keys.Issue(grants, exports, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, grant := range grants {
		claims := userOf(t, filepath.Join(dir, grant.User+".creds"))
		if !slices.Equal(claims.Pub.Allow, grant.Publish) || !slices.Equal(claims.Sub.Allow, grant.Subscribe) {
			t.Errorf("%s may %v and %v", grant.User, claims.Pub, claims.Sub)
		}
		account := made.Services.Key
		if grant.Outside {
			account = made.Outside.Key
		}
		if claims.Issuer != account {
			t.Errorf("%s lives in account %s, want %s", grant.User, claims.Issuer, account)
		}
	}
	outside, err := jwt.DecodeAccountClaims(made.Outside.JWT)
	if err != nil || outside.Limits.IsJSEnabled() || len(outside.Imports) != len(exports) {
		t.Errorf("outside account: JetStream %v, %d imports, %v", outside.Limits.IsJSEnabled(), len(outside.Imports), err)
	}
	again, err := OpenKeys(file, []string{"ingest", "feed"})
	if err != nil || again.Users["ingest"] != keys.Users["ingest"] || again.Operator != keys.Operator {
		t.Errorf("keys are not kept: %v", err)
	}
	if _, err := keys.Issue([]Grant{{User: "ingest"}}, nil, dir); err == nil {
		t.Error("an empty grant is issued: it would allow everything")
	}
}

func userOf(t *testing.T, file string) *jwt.UserClaims {
	t.Helper()
	creds, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.ParseDecoratedJWT(creds)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := jwt.DecodeUserClaims(token)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of %s: %v, %v; want 0600", file, info.Mode(), err)
	}
	return claims
}

func TestConfigAsksForSyncedWritesAndTLS(t *testing.T) {
	text := Config{Host: "127.0.0.1", Port: 4222, Cert: "/c.pem", Key: "/k.pem", MonitorPort: 8222, StoreDir: "/data", MaxFileStore: 5}.String()
	for _, line := range []string{"sync_interval: always", "max_file_store: 5", "resolver: MEMORY", `https: "127.0.0.1:8222"`,
		`cert_file: "/c.pem"`, `key_file: "/k.pem"`, `min_version: "1.3"`} {
		if !strings.Contains(text, line) {
			t.Errorf("nats.conf lacks %q", line)
		}
	}
	for _, word := range []string{"no_auth_user", "http:", "websocket", "mqtt", "leafnodes", "verify: false"} {
		if strings.Contains(text, word) {
			t.Errorf("nats.conf has %s", word)
		}
	}
}
