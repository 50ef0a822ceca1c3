package psrp

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
	"github.com/airlock-run/airlock/sdk/secret"
)

// keyExchange is how both ends come to a session key, under which SecureStrings travel ([MS-PSRP] 3.1.5.4.3 ff.): the
// client sends an RSA key, the server an AES-256 key encrypted with it. Both come as Microsoft's key blobs, whose numbers
// are little-endian.
type keyExchange struct {
	mu      sync.Mutex
	private *rsa.PrivateKey
	session []byte
}

const (
	rsaBits = 2048
	aesKey  = 32 // bytes
)

var (
	publicBlob  = []byte{6, 2, 0, 0, 0, 0xa4, 0, 0, 'R', 'S', 'A', '1', 0, 8, 0, 0} // PUBLICKEYBLOB, RSA, 2048 bits
	sessionBlob = 12                                                                // bytes of the head of a SIMPLEBLOB
)

// ExchangeKey makes the session key, without which no secret value can be sent or read. A second call does nothing.
func (c *Client) ExchangeKey(ctx context.Context) error {
	if isDone(c.keyed) {
		return nil
	}
	private, err := c.key.pair()
	if err != nil {
		return err
	}
	blob := binary.LittleEndian.AppendUint32(slices.Clone(publicBlob), uint32(private.E))
	modulus := private.N.FillBytes(make([]byte, rsaBits/8))
	slices.Reverse(modulus)
	text := base64.StdEncoding.EncodeToString(append(blob, modulus...))
	for _, f := range c.fragments(publicKey, uuid.Nil, clixml.Object(prop("PublicKey", clixml.Text(text)))) {
		if err := c.send(ctx, line{verb: data, data: f}); err != nil {
			return err
		}
	}
	return c.await(ctx, c.keyed)
}

// ownKey is one key for all conversations of this process, because to make one takes a tenth of a second. It keeps a session
// key from who reads a pipe, and what is sealed with it belongs to who sealed it.
var ownKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, rsaBits) })

// pair is the client's own key.
func (k *keyExchange) pair() (*rsa.PrivateKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var err error
	if k.private == nil {
		k.private, err = ownKey()
	}
	return k.private, err
}

// receive takes the session key, once.
func (k *keyExchange) receive(text string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	blob, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(blob) != sessionBlob+rsaBits/8 || k.private == nil || k.session != nil {
		return false
	}
	sealed := blob[sessionBlob:]
	slices.Reverse(sealed)
	//lint:ignore SA1019 the protocol has no other; the key opens one message, of a peer that knows what is in it
	key, err := rsa.DecryptPKCS1v15(nil, k.private, sealed)
	if err != nil || len(key) != aesKey {
		return false
	}
	k.session = key
	return true
}

var errNoKey = errors.New("no session key has been exchanged")

func (k *keyExchange) block() (cipher.Block, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.session == nil {
		return nil, errNoKey
	}
	return aes.NewCipher(k.session)
}

// zeroIV is the initialization vector that the protocol has: none.
var zeroIV [aes.BlockSize]byte

// SecureString is a secret as an argument. The key must have been exchanged.
func (c *Client) SecureString(s secret.Text) (*clixml.Value, error) {
	block, err := c.key.block()
	if err != nil {
		return nil, err
	}
	var plain []byte
	for _, u := range utf16.Encode([]rune(s.Reveal())) {
		plain = binary.LittleEndian.AppendUint16(plain, u)
	}
	padding := aes.BlockSize - len(plain)%aes.BlockSize
	for range padding {
		plain = append(plain, byte(padding))
	}
	cipher.NewCBCEncrypter(block, zeroIV[:]).CryptBlocks(plain, plain)
	return clixml.Primitive("SS", base64.StdEncoding.EncodeToString(plain)), nil
}

// Credential is a PSCredential as an argument.
func (c *Client) Credential(user string, password secret.Text) (*clixml.Value, error) {
	sealed, err := c.SecureString(password)
	if err != nil {
		return nil, err
	}
	return &clixml.Value{Tag: "Obj", Types: []string{"System.Management.Automation.PSCredential", typeObject}, Props: []clixml.Property{
		{Name: "UserName", Value: clixml.Text(user), Own: true}, {Name: "Password", Value: sealed, Own: true},
	}}, nil
}

// Reveal reads a SecureString that the server sent.
func (c *Client) Reveal(v *clixml.Value) (secret.Text, error) {
	block, err := c.key.block()
	if err != nil {
		return secret.Text{}, err
	}
	b, err := base64.StdEncoding.DecodeString(v.Number()) // also where it is wrapped in an object, which has a text of its own
	if err != nil || len(b) == 0 || len(b)%aes.BlockSize != 0 {
		return secret.Text{}, fmt.Errorf("a SecureString of %d bytes cannot be decrypted", len(b))
	}
	cipher.NewCBCDecrypter(block, zeroIV[:]).CryptBlocks(b, b)
	padding := int(b[len(b)-1])
	if padding == 0 || padding > aes.BlockSize || padding%2 != 0 {
		return secret.Text{}, errors.New("a SecureString was encrypted with another key")
	}
	b = b[:len(b)-padding]
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	text := utf16.Decode(units)
	if slices.Contains(text, utf8.RuneError) { // half a surrogate pair: what this would be read as is not what it is
		return secret.Text{}, errors.New("a SecureString is no text")
	}
	return secret.New(string(text)), nil
}
