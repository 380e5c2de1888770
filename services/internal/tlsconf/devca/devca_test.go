package devca

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const spiffe = "spiffe://onlinesms/service/ingest"

func serial(t *testing.T, dir, name string) string {
	t.Helper()
	pair, err := read(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf.SerialNumber.String()
}

func TestIssueIsIdempotentAndRenews(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	again := func(now time.Time, hosts ...string) string {
		t.Helper()
		if err := create(dir, now); err != nil {
			t.Fatal(err)
		}
		if err := issue(dir, "ingest", hosts, spiffe, now); err != nil {
			t.Fatal(err)
		}
		return serial(t, dir, "ingest")
	}
	first, ca := again(now), serial(t, dir, "ca")
	if again(now.Add(330*24*time.Hour)) != first {
		t.Error("renewed more than 30 days before its end")
	}
	second := again(now.Add(336 * 24 * time.Hour))
	if second == first {
		t.Error("not renewed 29 days before its end")
	}
	third := again(now.Add(336*24*time.Hour), "sms.example", "10.0.0.7")
	if third == second {
		t.Error("not made anew for other hosts")
	}
	if serial(t, dir, "ca") != ca {
		t.Error("the authority changed")
	}
	if err := os.Remove(filepath.Join(dir, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	if again(now.Add(336*24*time.Hour), "sms.example", "10.0.0.7") == third {
		t.Error("not made anew by a new authority")
	}
}

func TestIssuedCertificate(t *testing.T) {
	dir := t.TempDir()
	if err := Create(dir); err != nil {
		t.Fatal(err)
	}
	if err := Issue(dir, "ingest", []string{"sms.example", "10.0.0.7"}, spiffe); err != nil {
		t.Fatal(err)
	}
	ca, err := read(dir, "ca")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := read(dir, "ingest")
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.Leaf)
	for _, host := range []string{"localhost", "127.0.0.1", "::1", "sms.example", "10.0.0.7"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: host}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Errorf("as a client: %v", err)
	}
	for _, name := range []string{"ca-key.pem", "ingest-key.pem"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if err := Issue(dir, "x", nil, "https://onlinesms/service/x"); err == nil {
		t.Error("an id that is not SPIFFE is accepted")
	}
	if err := Issue(t.TempDir(), "x", nil, ""); err == nil {
		t.Error("a certificate without an authority")
	}
}
