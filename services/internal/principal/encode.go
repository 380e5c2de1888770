package principal

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// encodingVersion is the first byte of an encoded principal.
const encodingVersion = 1

// maxScopes bounds what is read from the wire; the catalogue of scopes is far smaller.
const maxScopes = 64

// AppendBinary appends the principal for the wire between door and inner services:
// version(1) | tenant(16) | env | actor | scopes count | scopes, where texts and counts are led by a uvarint.
func (p Principal) AppendBinary(dst []byte) ([]byte, error) {
	if p.Env != Live && p.Env != Test {
		return nil, fmt.Errorf("principal: environment %q", p.Env)
	}
	dst = append(append(dst, encodingVersion), p.TenantID[:]...)
	dst = appendText(dst, p.Env)
	dst = appendText(dst, p.Actor)
	dst = binary.AppendUvarint(dst, uint64(len(p.Scopes)))
	for _, scope := range p.Scopes {
		dst = appendText(dst, scope)
	}
	return dst, nil
}

// UnmarshalBinary reads what AppendBinary wrote; anything else, and anything after it, is an error.
func (p *Principal) UnmarshalBinary(data []byte) error {
	if len(data) < 17 || data[0] != encodingVersion {
		return errors.New("principal: unknown encoding")
	}
	read := Principal{TenantID: [16]byte(data[1:17])}
	rest := reader{data: data[17:]}
	read.Env, read.Actor = rest.text(), rest.text()
	scopes := rest.uvarint()
	if rest.bad || scopes > maxScopes || (read.Env != Live && read.Env != Test) {
		return errors.New("principal: malformed")
	}
	for range scopes {
		read.Scopes = append(read.Scopes, rest.text())
	}
	if rest.bad || len(rest.data) > 0 {
		return errors.New("principal: malformed")
	}
	*p = read
	return nil
}

func appendText(dst []byte, text string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

// reader takes values from the front of data; bad once something was not there.
type reader struct {
	data []byte
	bad  bool
}

func (r *reader) uvarint() uint64 {
	value, n := binary.Uvarint(r.data)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.data = r.data[n:]
	return value
}

func (r *reader) text() string {
	n := r.uvarint()
	if n > uint64(len(r.data)) {
		r.bad = true
		return ""
	}
	text := string(r.data[:n])
	r.data = r.data[n:]
	return text
}
