// Package seal keeps secrets at rest: it seals bytes with a key, so that only who has the key reads them and nobody
// changes them unnoticed, and makes keyed digests of what must be recognised but not kept.
//
// A key is used for one purpose only: whoever has more than one derives a key of its own for each (Key.Derive), so
// that what was sealed for one purpose never opens as another.
//
// The form of sealed bytes: version (1 byte, 1), key id (8 bytes), nonce (12 bytes), ciphertext and tag (16 bytes) of
// AES-256-GCM (NIST SP 800-38D). The first two are authenticated with the caller's associated data. Nonces are
// random: 2^32 messages are the most that one key may seal (SP 800-38D, 8.3), far beyond what an installation makes.
package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/airlock-run/airlock/internal/durable"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
)

// keySize is the size of a key in bytes.
const keySize = 32

const (
	version  = 1
	idSize   = 8
	overhead = 1 + idSize + 12 + 16
)

// Why Open refuses.
var (
	// ErrWrongKey: the bytes were sealed with another key.
	ErrWrongKey = errors.New("it was sealed with another key")
	// ErrDamaged: the bytes are not what Seal returned, or the associated data is not what it was given.
	ErrDamaged = errors.New("it is damaged, or was sealed for another place")

	errNoKey = errors.New("there is no key")
)

// Key seals, opens and digests. It prints as [redacted]. The zero Key is none: it seals and opens nothing, and the
// other methods panic.
type Key struct{ secret secret.Text } // of keySize bytes

// NewKey makes a random key.
func NewKey() Key {
	b := make([]byte, keySize)
	rand.Read(b) // never fails: crypto/rand ends the program where there is no randomness
	return keyOf(b)
}

func keyOf(b []byte) Key { return Key{secret.New(string(b))} }

// LoadOrCreate reads the key from the file at path (keySize raw bytes). Where nothing is there, it makes one first, in
// a directory that it makes where that is missing. File and directory must be closed to all but the user who runs
// Airlock: otherwise, and for a file of another size, it is an error that says what to do, and nothing is changed.
func LoadOrCreate(path string) (Key, error) {
	if err := durable.PrivateDir(filepath.Dir(path)); err != nil {
		return Key{}, errors.Because(err, errors.Usage, "The directory of the key file cannot be used: %v.", err)
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		err = durable.CreateFile(path, []byte(NewKey().secret.Reveal()))
		if err != nil && !errors.Is(err, fs.ErrExist) { // somebody else may have made it just now
			return Key{}, errors.Because(err, errors.Usage, "The key file cannot be made: %v.", err)
		}
	}
	return load(path)
}

// ParseKey reads a key from its base64 form (RFC 4648, section 4), as an environment variable holds it.
func ParseKey(text secret.Text) (Key, error) {
	data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text.Reveal()))
	if err != nil || len(data) != keySize {
		return Key{}, errors.Newf(errors.Usage, "The master key must be %d random bytes in base64: `openssl rand -base64 %d` makes one.", keySize, keySize)
	}
	return keyOf(data), nil
}

// Derive makes the key for one purpose. The same label always gives the same key, and nothing about the one follows
// from the other (HKDF with SHA-256, RFC 5869).
func (k Key) Derive(label string) Key {
	return keyOf(k.derive("derive:"+label, keySize))
}

func (k Key) derive(info string, size int) []byte {
	if k.secret.IsEmpty() {
		panic(errNoKey)
	}
	b, err := hkdf.Key(sha256.New, []byte(k.secret.Reveal()), nil, "airlock/seal/1/"+info, size)
	if err != nil {
		panic(err) // only for sizes beyond 255 hashes
	}
	return b
}

// header begins all that the key seals.
func (k Key) header() []byte {
	return append([]byte{version}, k.derive("id", idSize)...)
}

func (k Key) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(k.derive("aes-256-gcm", keySize))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// Seal encrypts plaintext. Whoever opens it has to give the same associated data, which is authenticated and not
// kept: it says what the bytes are for and whose they are (see Associated).
func (k Key) Seal(plaintext, associated []byte) ([]byte, error) {
	if k.secret.IsEmpty() {
		return nil, errNoKey
	}
	aead, err := k.aead()
	if err != nil {
		return nil, err
	}
	header := k.header()
	return aead.Seal(header, nil, plaintext, append(bytes.Clone(header), associated...)), nil
}

// Open decrypts what Seal returned. The error is ErrWrongKey or ErrDamaged, and says nothing of the content.
func (k Key) Open(sealed, associated []byte) ([]byte, error) {
	if k.secret.IsEmpty() {
		return nil, errNoKey
	}
	if len(sealed) < overhead || sealed[0] != version {
		return nil, ErrDamaged
	}
	header, rest := sealed[:1+idSize], sealed[1+idSize:]
	if !bytes.Equal(header, k.header()) {
		return nil, ErrWrongKey
	}
	aead, err := k.aead()
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, nil, rest, append(bytes.Clone(header), associated...))
	if err != nil {
		return nil, ErrDamaged
	}
	return plaintext, nil
}

// Digest is a digest that only who has the key can make (HMAC with SHA-256, RFC 2104): two of them are equal where
// the bytes are, and nothing else can be learnt from one, also where there are few possible contents.
func (k Key) Digest(b []byte) []byte {
	h := hmac.New(sha256.New, k.derive("hmac-sha-256", keySize))
	h.Write(b)
	return h.Sum(nil)
}

// Format writes [redacted] for every verb and flag.
func (Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, secret.Redacted) }

// Associated joins parts to associated data, so that no two lists of parts give the same.
func Associated(parts ...string) []byte {
	var b []byte
	for _, p := range parts {
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
	}
	return b
}
