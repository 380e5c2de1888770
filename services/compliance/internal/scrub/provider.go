package scrub

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/onlinesms/onlinesms/services/compliance/internal/preference"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Result is what a scrub run found: preference.Parse describes the lines.
type Result struct {
	Provider  string // who scrubbed
	Reference string // its reference of the run
	At        time.Time
	Coverage  preference.Coverage
	Size      int64 // bytes of Lines; 0 when not known
	Lines     io.ReadCloser
}

// Provider scrubs, or has scrubbed.
type Provider interface {
	// Fetch answers the latest result; its Lines must be closed. errs.Unavailable while the provider is away, errs.Invalid for
	// an answer that says too little.
	Fetch(ctx context.Context) (Result, error)
}

// File is a result that lies on disk, or comes on the standard input with the path -; Run says what it is.
type File struct {
	Path string
	Run  Result
}

// Fetch implements Provider.
func (f File) Fetch(context.Context) (Result, error) {
	r := f.Run
	if f.Path == "-" {
		r.Lines = os.Stdin
		return r, nil
	}
	file, err := os.Open(f.Path)
	if err != nil {
		return Result{}, errs.E(errs.Invalid, preference.ReasonFileInvalid, "The file cannot be opened.", err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return Result{}, err
	}
	r.Size, r.Lines = info.Size(), file
	return r, nil
}
