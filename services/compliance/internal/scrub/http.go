package scrub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/onlinesms/onlinesms/services/compliance/internal/preference"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// The headers by which a provider says what its answer is.
const (
	headerReference = "Scrub-Reference" // required
	headerTime      = "Scrub-Time"      // RFC 3339, required: a result without its time could be any day's
	headerCoverage  = "Scrub-Coverage"  // listed or all; listed when left out
)

// tries is how often a download that broke off is taken up again before it is given up.
const tries = 5

// HTTP is a provider that answers GET with the lines as text/csv, and the headers Scrub-Reference, Scrub-Time and
// Scrub-Coverage. A download that breaks off is taken up where it stopped (RFC 9110, section 14: Range with If-Range), if
// the answer has a strong ETag.
type HTTP struct {
	URL    string // https, or http on loopback
	Name   string // of the provider, as runs record it
	Token  string // bearer token; empty: none
	Client *http.Client
	Pause  time.Duration // before a download is taken up again
}

// Fetch implements Provider.
func (h HTTP) Fetch(ctx context.Context) (Result, error) {
	resp, err := h.get(ctx, 0, "")
	if err != nil {
		return Result{}, err
	}
	r := Result{Provider: h.Name, Reference: resp.Header.Get(headerReference), Size: max(0, resp.ContentLength)}
	if r.At, err = time.Parse(time.RFC3339, resp.Header.Get(headerTime)); err == nil && resp.Header.Get(headerCoverage) != "" {
		r.Coverage, err = preference.ParseCoverage(resp.Header.Get(headerCoverage))
	}
	if err != nil || r.Reference == "" {
		resp.Body.Close()
		return Result{}, errs.E(errs.Invalid, preference.ReasonRunInvalid,
			"The provider's answer lacks Scrub-Reference or Scrub-Time, or its Scrub-Coverage is neither listed nor all.", err)
	}
	tag := resp.Header.Get("ETag")
	if strings.HasPrefix(tag, "W/") || resp.Uncompressed { // neither names bytes
		tag = ""
	}
	r.Lines = &download{ctx: ctx, from: h, body: resp.Body, tag: tag}
	return r, nil
}

// get asks for the file from an offset on; the answer is that and nothing else.
func (h HTTP) get(ctx context.Context, offset int64, tag string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.URL, nil)
	if err != nil {
		return nil, errs.E(errs.Invalid, preference.ReasonRunInvalid, "The provider's URL is not valid.", nil)
	}
	if req.URL.Scheme != "https" && req.URL.Hostname() != "127.0.0.1" && req.URL.Hostname() != "localhost" {
		return nil, errs.E(errs.Invalid, preference.ReasonRunInvalid, "A provider is asked over https only.", nil)
	}
	if h.Token != "" {
		req.Header.Set("Authorization", "Bearer "+h.Token)
	}
	want := http.StatusOK
	if offset > 0 {
		want = http.StatusPartialContent
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
		req.Header.Set("If-Range", tag)
	}
	resp, err := h.Client.Do(req)
	if err != nil {
		return nil, errs.E(errs.Unavailable, preference.ReasonNoRun, "The scrub provider does not answer.", err)
	}
	if resp.StatusCode != want || offset > 0 && !strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", offset)) {
		resp.Body.Close()
		return nil, errs.E(errs.Unavailable, preference.ReasonNoRun, fmt.Sprintf("The scrub provider answers %d.", resp.StatusCode), nil)
	}
	return resp, nil
}

// download is a body that is taken up again where it broke off.
type download struct {
	ctx   context.Context //nolint:containedctx // a reader has no other way to be cancelled
	from  HTTP
	body  io.ReadCloser
	tag   string
	read  int64
	tried int
}

// Read implements io.Reader.
func (d *download) Read(p []byte) (int, error) {
	n, err := d.body.Read(p)
	d.read += int64(n)
	if err == nil || errors.Is(err, io.EOF) || n > 0 {
		if n > 0 {
			d.tried = 0
			if !errors.Is(err, io.EOF) {
				err = nil // it comes again with the next call
			}
		}
		return n, err
	}
	for d.tag != "" && d.tried < tries && service.Pause(d.ctx, d.from.Pause) {
		d.tried++
		resp, again := d.from.get(d.ctx, d.read, d.tag) //nolint:bodyclose // Close closes it
		if again == nil {
			d.body.Close()
			d.body = resp.Body
			return 0, nil
		}
	}
	return 0, errs.E(errs.Unavailable, preference.ReasonNoRun, "The download broke off; start the import again.", err)
}

// Close implements io.Closer.
func (d *download) Close() error { return d.body.Close() }
