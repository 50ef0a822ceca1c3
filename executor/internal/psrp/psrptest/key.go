package psrptest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math/big"
	"slices"
	"sync"
	"unicode/utf16"

	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
)

// sessionKey is the AES-256 key under which SecureStrings travel both ways ([MS-PSRP] 3.2.5.4.3).
type sessionKey struct {
	mu  sync.Mutex
	key []byte
}

// make makes the key and seals it with the client's public one: PUBLICKEYBLOB in, SIMPLEBLOB out, both in base64.
func (k *sessionKey) make(public string) (string, error) {
	blob, err := base64.StdEncoding.DecodeString(public)
	const head, modulus = 20, 2048 / 8
	if err != nil || len(blob) != head+modulus || !bytes.Equal(blob[:16], []byte{6, 2, 0, 0, 0, 0xa4, 0, 0, 'R', 'S', 'A', '1', 0, 8, 0, 0}) {
		return "", errors.New("psrptest: the public key has another form")
	}
	n := slices.Clone(blob[head:])
	slices.Reverse(n)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.key == nil {
		k.key = make([]byte, 32)
		_, _ = rand.Read(k.key)
	}
	//lint:ignore SA1019 the protocol has no other
	sealed, err := rsa.EncryptPKCS1v15(rand.Reader, &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(binary.LittleEndian.Uint32(blob[16:]))}, k.key)
	if err != nil {
		return "", err
	}
	slices.Reverse(sealed)
	return base64.StdEncoding.EncodeToString(append([]byte{1, 2, 0, 0, 0x10, 0x66, 0, 0, 0, 0xa4, 0, 0}, sealed...)), nil
}

func (k *sessionKey) block() (cipher.Block, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.key == nil {
		return nil, errors.New("psrptest: no key was exchanged")
	}
	return aes.NewCipher(k.key)
}

func (k *sessionKey) seal(text string) (*clixml.Value, error) {
	block, err := k.block()
	if err != nil {
		return nil, err
	}
	var plain []byte
	for _, u := range utf16.Encode([]rune(text)) {
		plain = binary.LittleEndian.AppendUint16(plain, u)
	}
	padding := aes.BlockSize - len(plain)%aes.BlockSize
	plain = append(plain, bytes.Repeat([]byte{byte(padding)}, padding)...)
	cipher.NewCBCEncrypter(block, make([]byte, aes.BlockSize)).CryptBlocks(plain, plain)
	return clixml.Primitive("SS", base64.StdEncoding.EncodeToString(plain)), nil
}

func (k *sessionKey) reveal(text string) (string, error) {
	block, err := k.block()
	if err != nil {
		return "", err
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) == 0 || len(b)%aes.BlockSize != 0 {
		return "", errors.New("psrptest: a SecureString has no whole blocks")
	}
	cipher.NewCBCDecrypter(block, make([]byte, aes.BlockSize)).CryptBlocks(b, b)
	padding := int(b[len(b)-1])
	if padding == 0 || padding > aes.BlockSize || padding%2 != 0 {
		return "", errors.New("psrptest: a SecureString was encrypted with another key")
	}
	var units []uint16
	for b = b[:len(b)-padding]; len(b) > 0; b = b[2:] {
		units = append(units, binary.LittleEndian.Uint16(b))
	}
	return string(utf16.Decode(units)), nil
}
