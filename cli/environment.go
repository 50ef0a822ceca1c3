package cli

import (
	"crypto/rand"
	"fmt"
	"os"

	"github.com/airlock-run/airlock/internal/durable"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
)

// writeEnv writes dev.env, which a shell can source.
func (i *installation) writeEnv() error {
	return durable.WriteFile(i.path("dev.env"), fmt.Appendf(nil, `export AIRLOCK_ENDPOINT='%s'
export AIRLOCK_TOKEN='%s'
export AIRLOCK_CA='%s'
export AIRLOCK_PRIVATE_CLOUD='%s'
`, i.endpoint, i.token.Reveal(), i.path("ca.pem"), i.clouds.first()))
}

// removeEnv removes dev.env, also one that a crash has left.
func (i *installation) removeEnv() error {
	if err := os.Remove(i.path("dev.env")); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// loadToken reads the bearer token, which is made at the first start. Only its owner may read the file.
func loadToken(path string) (secret.Text, error) {
	data, err := durable.ReadPrivate(path, 1<<10)
	if errors.Is(err, os.ErrNotExist) {
		data = []byte(rand.Text() + rand.Text()) // 256 bits
		err = durable.CreateFile(path, data)
	}
	if err != nil {
		return secret.Text{}, errors.Because(err, errors.Usage, "The token file cannot be used: %v.", err)
	}
	return secret.New(string(data)), nil
}
