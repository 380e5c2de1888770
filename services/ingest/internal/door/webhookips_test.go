package door

import (
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"
)

func TestWebhookIPsArePublished(t *testing.T) {
	at := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	page, err := WebhookIPs{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.9/28")}, Next: []netip.Prefix{netip.MustParsePrefix("2001:db8::/64")}, NextFrom: at,
	}.page()
	if err != nil {
		t.Fatal(err)
	}
	rw := httptest.NewRecorder()
	page(rw, httptest.NewRequest("GET", webhookIPsPath, nil))
	want := `{"prefixes":[{"prefix":"203.0.113.0/28"},{"prefix":"2001:db8::/64","effectiveFrom":"2026-12-01T00:00:00Z"}]}`
	if got := rw.Body.String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := (WebhookIPs{Next: []netip.Prefix{netip.MustParsePrefix("2001:db8::/64")}}).page(); err == nil {
		t.Error("addresses that come at no time are published")
	}
}
