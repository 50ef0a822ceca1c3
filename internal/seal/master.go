package seal

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/airlock-run/airlock/internal/durable"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
)

// Master says where a master key is: one of the three.
type Master struct {
	File        string   // path of a file of keySize raw bytes, closed to others
	Environment string   // name of a variable with the key in base64
	Command     []string // a program with its arguments, which prints the key in base64: a key management service's client

	Getenv func(string) string // for Environment
}

const (
	commandTime   = 30 * time.Second
	commandOutput = 1 << 10 // bytes
)

// Load reads the master key. It makes none. The error says what to do, and nothing of the key.
func (m Master) Load(ctx context.Context) (key Key, err error) {
	switch {
	case m.Environment != "":
		key, err = ParseKey(secret.New(m.Getenv(m.Environment)))
	case len(m.Command) > 0:
		var text secret.Text
		if text, err = m.run(ctx); err == nil {
			key, err = ParseKey(text)
		}
	default:
		return load(m.File)
	}
	if err != nil {
		return key, errors.Because(err, errors.Usage, "The master key cannot be had from %s. %s", m, errors.For(err, "").Message)
	}
	return key, nil
}

// String says where the master key is.
func (m Master) String() string {
	switch {
	case m.Environment != "":
		return "the environment variable " + m.Environment
	case len(m.Command) > 0:
		return "the command " + filepath.Base(m.Command[0])
	}
	return "the file " + m.File
}

// run runs the command. Only its standard output counts; what it complains of is in the log.
func (m Master) run(ctx context.Context) (secret.Text, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, m.Command[0], m.Command[1:]...)
	cmd.WaitDelay = time.Second // for what it has started itself and left with its output
	var out, complaint atMost
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return secret.Text{}, errors.Newf(errors.Usage, "It did not end within %v.", commandTime)
	case err != nil:
		return secret.Text{}, errors.Because(fmt.Errorf("%w: %s", err, complaint.Bytes()), errors.Usage, "It failed: %v.", err)
	}
	return secret.New(out.String()), nil
}

// atMost keeps the first commandOutput bytes.
type atMost struct{ bytes.Buffer }

func (b *atMost) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), commandOutput-b.Len())])
	return len(p), nil
}

// load reads the key of a file that is there.
func load(path string) (Key, error) {
	data, err := durable.ReadPrivate(path, keySize)
	if err == nil && len(data) != keySize {
		err = fmt.Errorf("%s has %d bytes, not %d", path, len(data), keySize)
	}
	if err != nil {
		return Key{}, errors.Because(err, errors.Usage, "The key file cannot be used: %v. Without the right key what was sealed with it is lost: put it back from a copy.", err)
	}
	return keyOf(data), nil
}
