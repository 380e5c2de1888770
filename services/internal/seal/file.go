package seal

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"io"

	"github.com/minio/sio"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// A sealed file is `OSF1` | version of the deployment key, u32 | salt, 32 bytes | DARE 2.0. DARE parts the content into
// packages of 64 KiB, each sealed by AES-256-GCM with its number and, for the last, that it is the last: nothing of a file
// can be left out, turned round or cut off.
const (
	fileMagic  = "OSF1"
	fileSalt   = 32
	fileHeader = len(fileMagic) + 4 + fileSalt
)

// SealFile answers a writer that seals what is written to it into w, for a purpose of an environment (`name/v1`). The key
// is the file's own: HKDF-SHA256 of the newest deployment key, a random salt and the purpose. Close writes the end. Nothing at all cannot be
// sealed: an empty file does not open.
func (k *Keyring) SealFile(ctx context.Context, env, purpose string, w io.Writer) (io.WriteCloser, error) {
	deployment, err := k.newest(ctx, env)
	if err != nil {
		return nil, err
	}
	header := make([]byte, fileHeader)
	copy(header, fileMagic)
	binary.BigEndian.PutUint32(header[len(fileMagic):], deployment.version)
	rand.Read(header[fileHeader-fileSalt:])
	cfg, err := deployment.file(header, env, purpose)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(header); err != nil {
		return nil, err
	}
	return sio.EncryptWriter(w, cfg)
}

// OpenFile answers a reader of what SealFile sealed for the same purpose. Reading fails (errs.Invalid) for a file that is
// damaged or cut off, before anything of the damaged part is given out.
func (k *Keyring) OpenFile(ctx context.Context, env, purpose string, r io.Reader) (io.Reader, error) {
	header := make([]byte, fileHeader)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, fileUnreadable(err)
	}
	if string(header[:len(fileMagic)]) != fileMagic {
		return nil, fileUnreadable(nil)
	}
	deployment, err := k.version(ctx, env, binary.BigEndian.Uint32(header[len(fileMagic):]))
	if err != nil {
		return nil, err
	}
	cfg, err := deployment.file(header, env, purpose)
	if err != nil {
		return nil, err
	}
	opened, err := sio.DecryptReader(r, cfg)
	if err != nil {
		return nil, fileUnreadable(err)
	}
	return opened, nil
}

func (d deploymentKey) file(header []byte, env, purpose string) (sio.Config, error) {
	key, err := hkdf.Key(sha256.New, d.raw, header, "onlinesms/file/v1|"+env+"|"+purpose, sha256.Size)
	return sio.Config{MinVersion: sio.Version20, MaxVersion: sio.Version20, CipherSuites: []byte{sio.AES_256_GCM}, Key: key}, err
}

func fileUnreadable(cause error) error {
	return errs.E(errs.Invalid, "CONTENT_UNREADABLE", "the sealed file does not open for this purpose", cause)
}
