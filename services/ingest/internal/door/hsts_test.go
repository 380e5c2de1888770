package door

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/internal/secret"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf/devca"
)

// Item 4 of the acceptance list: HSTS on every answer.
func TestItem4HSTSOnEveryAnswer(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		status                  int
		method, path, body, key string
		headers                 []string
	}{
		{200, "POST", "/v1/messages", body, "all", nil},
		{200, "GET", "/docs", "", "", nil},
		{400, "POST", "/v1/messages", "{", "all", nil},
		{401, "POST", "/v1/messages", body, "", nil},
		{403, "POST", "/v1/messages", body, "none", nil},
		{404, "GET", "/v1/nothing", "", "all", nil},
		{405, "DELETE", "/v1/messages", "", "all", nil},
		{409, "POST", "/v1/messages", with("EXISTS"), "all", nil},
		{413, "POST", "/v1/messages", `{"text": "` + strings.Repeat("x", maxBodyBytes) + `"}`, "all", nil},
		{415, "POST", "/v1/messages", body, "all", []string{"Content-Type", "text/plain"}},
		{429, "POST", "/v1/messages", with("LIMITED"), "all", nil},
		{431, "GET", "/v1/messages", "", "all", []string{"X-Filler", strings.Repeat("x", 20<<10)}},
		{500, "POST", "/v1/messages", with("INTERNAL"), "all", nil},
		{500, "POST", "/v1/messages", with("PANIC"), "all", nil},
		{501, "GET", "/v1/messages", "", "all", nil},
		{503, "POST", "/v1/messages", with("AWAY"), "all", nil},
		{504, "POST", "/v1/messages", with("LATE"), "all", nil},
	} {
		for _, h2 := range []bool{false, true} {
			headers := c.headers
			if c.key != "" {
				headers = append(headers, "Authorization", "Bearer "+c.key)
			}
			resp, content := w.do(t, h2, c.method, c.path, c.body, headers...) // looks for exactly our HSTS
			if resp.StatusCode != c.status {
				t.Errorf("%s %s: %d %.200s, want %d", c.method, c.path, resp.StatusCode, content, c.status)
			}
			if c.status >= 400 && !strings.Contains(string(content), `"reason"`) {
				t.Errorf("%d without a problem: %.200s", resp.StatusCode, content)
			}
		}
	}
	if !strings.HasPrefix(hstsValue, "max-age=63072000; includeSubDomains") {
		t.Errorf("HSTS is %q", hstsValue)
	}
}

// Item 6: the certificate is replaced on disk 50 times under load, and no request fails.
func TestItem6CertificateReplacedUnderLoad(t *testing.T) {
	w := newWorld(t)
	done := make(chan struct{})
	var load sync.WaitGroup
	var mu sync.Mutex
	requests := 0
	for range 3 {
		load.Go(func() {
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: w.tls(), DisableKeepAlives: true}}
			for {
				select {
				case <-done:
					return
				default:
				}
				resp, err := client.Get("https://" + w.HTTPAddr().String() + "/v1/reasons")
				if err != nil {
					t.Errorf("under load: %v", err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				mu.Lock()
				requests++
				mu.Unlock()
			}
		})
	}
	for i := range 50 {
		if err := devca.Issue(w.dir, "public", []string{fmt.Sprintf("host%d.example", i)}, ""); err != nil {
			t.Fatal(err)
		}
		was := func() int { mu.Lock(); defer mu.Unlock(); return requests }()
		until(t, func() bool { mu.Lock(); defer mu.Unlock(); return requests > was || t.Failed() })
	}
	until(t, func() bool {
		return shown(t, w).Subject.CommonName == "public" && shown(t, w).VerifyHostname("host49.example") == nil
	})
	close(done)
	load.Wait()
	if requests < 50 {
		t.Errorf("%d requests only", requests)
	}
}

// shown is the certificate the door shows now.
func shown(t *testing.T, w *world) *x509.Certificate {
	t.Helper()
	conn, err := tls.Dial("tcp", w.HTTPAddr().String(), w.tls())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // nothing is written on it
	return conn.ConnectionState().PeerCertificates[0]
}

// Item 5: the pin set is signed, and tells the key the door shows and those that come.
func TestItem5PinSet(t *testing.T) {
	w := newWorld(t)
	resp, content := w.do(t, true, "GET", pinsPath, "")
	signature, err := base64.StdEncoding.DecodeString(resp.Header.Get(PinsSignature))
	if err != nil || resp.StatusCode != 200 || !ed25519.Verify(pinsTestKey.Public().(ed25519.PublicKey), content, signature) {
		t.Fatalf("%d %s, signature %q", resp.StatusCode, content, resp.Header.Get(PinsSignature))
	}
	var set pinSet
	if err := json.Unmarshal(content, &set); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(w.dir, "compliance.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	next, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		kind string
		cert *x509.Certificate
	}{{"current", shown(t, w)}, {"next", next}} {
		sum := sha256.Sum256(want.cert.RawSubjectPublicKeyInfo)
		if p := set.Pins[i]; p.Kind != want.kind || p.SPKI != base64.StdEncoding.EncodeToString(sum[:]) || !p.NotAfter.Equal(want.cert.NotAfter) {
			t.Errorf("pin %d is %+v", i, p)
		}
	}
	if lasts := set.Expires.Sub(set.Issued); lasts != pinsLifetime || time.Until(set.Expires) < pinsLifetime-time.Minute {
		t.Errorf("issued %s, expires %s", set.Issued, set.Expires)
	}
}

func TestPinsKeysAndFiles(t *testing.T) {
	w := newWorld(t)
	key := filepath.Join(w.dir, "pins-key.pem")
	for name, files := range map[string][3]string{
		"no key":         {filepath.Join(w.dir, "absent"), "", ""},
		"not Ed25519":    {filepath.Join(w.dir, "public-key.pem"), "", ""},
		"not a key file": {filepath.Join(w.dir, "ca.pem"), "", ""},
	} {
		if _, err := OpenPins(t.Context(), secret.File(files[0]), files[1], files[2], time.Now); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	spki, err := x509.MarshalPKIXPublicKey(pinsTestKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	bare := filepath.Join(w.dir, "bare.pem")
	if err := os.WriteFile(bare, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, ok := range map[string]bool{bare: true, key: false, filepath.Join(w.dir, "absent"): false} {
		if _, err := pinOfFile("backup", file); (err == nil) != ok {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestPinsKeyIsMadeOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pins-key")
	if err := CreatePinsKey(file); err != nil {
		t.Fatal(err)
	}
	if err := CreatePinsKey(file); !errors.Is(err, fs.ErrExist) {
		t.Errorf("again: %v", err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := OpenPins(t.Context(), secret.File(file), "", "", time.Now); err != nil {
		t.Error(err)
	}
}
