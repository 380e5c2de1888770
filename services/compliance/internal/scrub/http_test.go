package scrub_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/compliance/internal/preference"
	"github.com/onlinesms/onlinesms/services/compliance/internal/scrub"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// lines is more than a socket's buffers hold, so that a download can break off.
var lines = strings.Repeat("9876543210,none\n", 1<<18)

// provider is a scrub service that breaks off so many times, each time after half of what is left.
type provider struct {
	breaks int
	tag    string
	header http.Header
	asked  []string // ranges
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.asked = append(p.asked, r.Header.Get("Range"))
	if r.Header.Get("Authorization") != "Bearer secret" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	for name, values := range p.header {
		w.Header()[name] = values
	}
	w.Header().Set("ETag", p.tag)
	w.Header().Set("Content-Type", "text/csv")
	if p.breaks > 0 {
		p.breaks--
		w = &breaking{ResponseWriter: w, left: len(lines) / 4}
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(lines))
}

// breaking is a connection that is cut.
type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		panic(http.ErrAbortHandler)
	}
	return b.ResponseWriter.Write(p)
}

func whole() http.Header {
	return http.Header{"Scrub-Reference": {"r7"}, "Scrub-Time": {"2026-11-28T06:00:00+05:30"}, "Scrub-Coverage": {"all"}}
}

// TestHTTPProvider: what a provider answers is read whole, also when it breaks off; one whose answer cannot be taken up
// again, that refuses or that does not say what it is, is an error.
func TestHTTPProvider(t *testing.T) {
	for name, c := range map[string]struct {
		provider provider
		token    string
		fetch    errs.Kind // 0: it is fetched
		read     bool      // and read whole
		asked    int
	}{
		"at once":                 {provider{tag: `"a"`, header: whole()}, "secret", 0, true, 1},
		"broken off three times":  {provider{tag: `"a"`, header: whole(), breaks: 3}, "secret", 0, true, 4},
		"broken off without tag":  {provider{header: whole(), breaks: 1}, "secret", 0, false, 1},
		"broken off, a weak tag":  {provider{tag: `W/"a"`, header: whole(), breaks: 1}, "secret", 0, false, 1},
		"refused":                 {provider{tag: `"a"`, header: whole()}, "wrong", errs.Unavailable, false, 1},
		"without a time":          {provider{header: http.Header{"Scrub-Reference": {"r7"}}}, "secret", errs.Invalid, false, 1},
		"without a reference":     {provider{header: http.Header{"Scrub-Time": {"2026-11-28T06:00:00Z"}}}, "secret", errs.Invalid, false, 1},
		"with a strange coverage": {provider{header: http.Header{"Scrub-Reference": {"r"}, "Scrub-Time": {"2026-11-28T06:00:00Z"}, "Scrub-Coverage": {"most"}}}, "secret", errs.Invalid, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(&c.provider)
			defer server.Close()
			h := scrub.HTTP{URL: server.URL, Name: "P", Token: c.token, Client: server.Client(), Pause: time.Millisecond}
			r, err := h.Fetch(t.Context())
			if err != nil {
				if errs.KindOf(err) != c.fetch {
					t.Error(err)
				}
				return
			}
			got, err := io.ReadAll(r.Lines)
			if err = errors.Join(err, r.Lines.Close()); (err == nil && string(got) == lines) != c.read || c.fetch != 0 {
				t.Errorf("%d of %d bytes, %v", len(got), len(lines), err)
			}
			if r.Provider != "P" || r.Reference != "r7" || r.Coverage != preference.All || r.At.Hour() != 6 || len(c.provider.asked) != c.asked {
				t.Errorf("%+v, asked %v", r, c.provider.asked)
			}
		})
	}
	for _, url := range []string{"http://scrub.example/x", "ftp://127.0.0.2/", "\x7f"} {
		if _, err := (scrub.HTTP{URL: url, Client: http.DefaultClient}).Fetch(t.Context()); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %v", url, err)
		}
	}
	away, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (scrub.HTTP{URL: "http://127.0.0.1:1/", Client: http.DefaultClient}).Fetch(away); errs.KindOf(err) != errs.Unavailable {
		t.Error(err)
	}
}

func TestFileProvider(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if _, err := (scrub.File{Path: path}).Fetch(t.Context()); errs.KindOf(err) != errs.Invalid {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := scrub.File{Path: path, Run: scrub.Result{Provider: "P"}}.Fetch(t.Context())
	if err != nil || r.Size != int64(len(lines)) || r.Provider != "P" {
		t.Fatal(r, err)
	}
	got, err := io.ReadAll(r.Lines)
	if err = errors.Join(err, r.Lines.Close()); err != nil || string(got) != lines {
		t.Error(len(got), err)
	}
}
