package secret

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
)

// maxSize is how much of a secret's file is read, bytes.
const maxSize = 1 << 20

const (
	inFile  = "file:"
	inVault = "vault:"
)

// Ref names a secret; see the package's comment for the grammar. Empty: there is none.
type Ref string

// File is the reference to a file; an empty path gives an empty reference.
func File(path string) Ref {
	if path == "" {
		return ""
	}
	return Ref(inFile + path)
}

// Path answers the file that r names; ok is false when it names something else.
func (r Ref) Path() (path string, ok bool) { return strings.CutPrefix(string(r), inFile) }

// UnmarshalText reads a reference; the error of a malformed one does not quote it.
func (r *Ref) UnmarshalText(text []byte) error {
	*r = Ref(text)
	if rest, ok := strings.CutPrefix(string(text), inVault); ok {
		_, err := parsePlace(rest)
		return err
	}
	return nil
}

// String is "set" or "unset", never the secret.
func (r Ref) String() string {
	if r == "" {
		return "unset"
	}
	return "set"
}

// GoString is String.
func (r Ref) GoString() string { return r.String() }

// MarshalText is String: what is encoded does not hold the secret either.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// LogValue is String.
func (r Ref) LogValue() slog.Value { return slog.StringValue(r.String()) }

// place is where a secret stands in Vault.
type place struct{ mount, path, field string }

func parsePlace(text string) (p place, err error) {
	where, field, _ := strings.Cut(text, "#")
	mount, path, _ := strings.Cut(where, "/")
	p = place{mount, strings.Trim(path, "/"), field}
	if p.mount == "" || p.path == "" || p.field == "" || strings.ContainsAny(where, "?%#") || strings.Contains(where, "..") {
		return p, fmt.Errorf("a reference to Vault is vault:<mount>/<path>#<field>")
	}
	return p, nil
}

// origin tells where r points, for errors; of a secret given itself only that it is one.
func (r Ref) origin() string {
	if strings.HasPrefix(string(r), inFile) || strings.HasPrefix(string(r), inVault) {
		return string(r)
	}
	return "the environment"
}

// Read answers the secret of now. From a file it is the content without its last line ends; a file that others may read,
// or the group may write, is refused (the group may read: so Kubernetes mounts secrets). Errors name the reference, never
// the secret.
func Read(ctx context.Context, r Ref) ([]byte, error) {
	text, err := read(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("secret at %s: %w", r.origin(), err)
	}
	return text, nil
}

func read(ctx context.Context, r Ref) ([]byte, error) {
	if path, ok := r.Path(); ok {
		return readFile(path)
	}
	if rest, ok := strings.CutPrefix(string(r), inVault); ok {
		p, err := parsePlace(rest)
		if err != nil {
			return nil, err
		}
		return fromVault(ctx, p)
	}
	return []byte(r), nil
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o037 != 0 {
		return nil, fmt.Errorf("the file has mode %04o: others may not read it, nor the group write it (chmod 0600)", info.Mode().Perm())
	}
	if info.Size() > maxSize {
		return nil, fmt.Errorf("the file is larger than %d bytes", maxSize)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return []byte(strings.TrimRight(string(text), "\r\n")), nil
}
