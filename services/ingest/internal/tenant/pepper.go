package tenant

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Peppers are the secrets under which keys are stored, by version: HMAC-SHA256(pepper, secret). A copy of the database
// without them says nothing about any key. The highest version makes new hashes, the others go on verifying.
type Peppers struct {
	byVersion map[int16][]byte
	current   int16
}

// pepperBytes is the length of a pepper; shorter ones are refused.
const pepperBytes = 32

// OpenPeppers reads a file with a line `<version> <32 bytes in base64>` for each pepper. Others may not read the
// file, nor the group write it.
func OpenPeppers(path string) (*Peppers, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("pepper file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("pepper file: %w", err)
	}
	if info.Mode().Perm()&0o037 != 0 {
		return nil, fmt.Errorf("pepper file %s has mode %o; make it 0600", path, info.Mode().Perm())
	}
	return readPeppers(f)
}

func readPeppers(r io.Reader) (*Peppers, error) {
	p := &Peppers{byVersion: map[int16][]byte{}}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		word, value, found := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		if word == "" {
			continue
		}
		version, err := strconv.ParseInt(word, 10, 16)
		pepper, err64 := base64.StdEncoding.DecodeString(strings.TrimSpace(value))
		if !found || errors.Join(err, err64) != nil || version < 1 || len(pepper) != pepperBytes {
			return nil, fmt.Errorf("pepper file: a line is not `<version> <%d bytes in base64>`", pepperBytes)
		}
		p.byVersion[int16(version)] = pepper
		p.current = max(p.current, int16(version))
	}
	if lines.Err() != nil || p.current == 0 {
		return nil, errors.Join(errors.New("pepper file: no pepper in it"), lines.Err())
	}
	return p, nil
}

// CreatePeppers writes a new file with one pepper, version 1. It fails when the file is there.
func CreatePeppers(path string, random io.Reader) error {
	pepper := make([]byte, pepperBytes)
	if _, err := io.ReadFull(random, pepper); err != nil {
		return fmt.Errorf("reading randomness: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("pepper file: %w", err)
	}
	_, err = fmt.Fprintf(f, "1 %s\n", base64.StdEncoding.EncodeToString(pepper))
	return errors.Join(err, f.Close())
}

// Hash gives the stored form of a secret and the version of the pepper in it.
func (p *Peppers) Hash(secret string) (mac []byte, version int16) {
	return hash(p.byVersion[p.current], secret), p.current
}

// Matches tells in constant time whether secret has the stored form mac under that version; never for a version that
// is not here any more.
func (p *Peppers) Matches(secret string, mac []byte, version int16) bool {
	pepper, ok := p.byVersion[version]
	return hmac.Equal(hash(pepper, secret), mac) && ok
}

func hash(pepper []byte, secret string) []byte {
	h := hmac.New(sha256.New, pepper)
	h.Write([]byte(secret))
	return h.Sum(nil)
}
