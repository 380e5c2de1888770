package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// lookInterval is how seldom the files are looked at: one stat per file and second, whatever the rate of handshakes.
const lookInterval = time.Second

// identity is what the files held when they were read.
type identity struct {
	cert  *tls.Certificate
	roots *x509.CertPool // nil without a CA file
}

// watched is an identity that follows its files.
type watched struct {
	files Files
	now   func() time.Time

	mu       sync.Mutex
	loaded   *identity
	stamps   stamps // of the files when loaded was read
	lookNext time.Time
}

// stamps tell one state of the files from another; nil stands for a file that is not there.
type stamps [3]os.FileInfo

func (a stamps) equal(b stamps) bool {
	for i := range a {
		if a[i] == nil || b[i] == nil {
			if a[i] != b[i] {
				return false
			}
			continue
		}
		if !os.SameFile(a[i], b[i]) || !a[i].ModTime().Equal(b[i].ModTime()) || a[i].Size() != b[i].Size() {
			return false
		}
	}
	return true
}

func watch(files Files, now func() time.Time) (*watched, error) {
	w := &watched{files: files, now: now, lookNext: now().Add(lookInterval)}
	w.stamps = w.look()
	loaded, err := load(files)
	if err != nil {
		return nil, err
	}
	w.loaded = loaded
	return w, nil
}

// current answers the identity of now. Files that cannot be read, or that do not match because they are being replaced,
// leave the one before in force and are tried again on the next look.
func (w *watched) current() *identity {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now().Before(w.lookNext) {
		return w.loaded
	}
	w.lookNext = w.now().Add(lookInterval)
	stamps := w.look()
	if stamps.equal(w.stamps) {
		return w.loaded
	}
	loaded, err := load(w.files)
	if err != nil {
		slog.Warn("certificate kept: the new one cannot be read", slog.String("file", w.files.Cert),
			slog.String("error", err.Error()))
		return w.loaded
	}
	w.loaded, w.stamps = loaded, stamps
	slog.Info("certificate replaced", slog.String("file", w.files.Cert))
	return w.loaded
}

func (w *watched) look() (found stamps) {
	for i, name := range []string{w.files.Cert, w.files.Key, w.files.CA} {
		if info, err := os.Stat(name); err == nil {
			found[i] = info
		}
	}
	return found
}

func load(files Files) (*identity, error) {
	cert, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		return nil, fmt.Errorf("tlsconf: %s: %w", files.Cert, err)
	}
	if files.CA == "" {
		return &identity{cert: &cert}, nil
	}
	pem, err := os.ReadFile(files.CA)
	if err != nil {
		return nil, fmt.Errorf("tlsconf: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tlsconf: %s: no certificate in it", files.CA)
	}
	return &identity{cert: &cert, roots: roots}, nil
}

// verify checks the other end's chain against the authorities of now and answers the service it names.
func (w *watched) verify(state tls.ConnectionState, usage x509.ExtKeyUsage) (string, error) {
	if len(state.PeerCertificates) == 0 {
		return "", errors.New("tlsconf: no certificate shown")
	}
	intermediates := x509.NewCertPool()
	for _, cert := range state.PeerCertificates[1:] {
		intermediates.AddCert(cert)
	}
	leaf := state.PeerCertificates[0]
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: w.current().roots, Intermediates: intermediates,
		CurrentTime: w.now(), KeyUsages: []x509.ExtKeyUsage{usage},
	})
	if err != nil {
		return "", fmt.Errorf("tlsconf: %w", err)
	}
	service, ok := serviceOf(leaf)
	if !ok {
		return "", errors.New("tlsconf: the certificate names no service")
	}
	return service, nil
}
