package seal

import (
	"encoding/json"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
)

// value is a domain.SecureValue on its way into sealed bytes. Byte slices keep what is not valid UTF-8 as it is.
type value struct {
	Username []byte `json:"u,omitempty"`
	Password []byte `json:"p"`
}

// SealValues seals the secure parameters of an execution, so that they open as this execution's only.
func SealValues(k Key, executionID string, values domain.SecureValues) ([]byte, error) {
	plain := make(map[string]value, len(values))
	for name, v := range values {
		plain[name] = value{[]byte(v.Username), []byte(v.Password.Reveal())}
	}
	data, err := json.Marshal(plain)
	if err != nil {
		return nil, err
	}
	return k.Seal(data, valuesOf(executionID))
}

// OpenValues opens what SealValues sealed. Without sealed bytes there are no values.
func OpenValues(k Key, executionID string, sealed []byte) (domain.SecureValues, error) {
	if len(sealed) == 0 {
		return nil, nil
	}
	data, err := k.Open(sealed, valuesOf(executionID))
	if err != nil {
		return nil, errors.Because(err, errors.SecretStoreFailed,
			"The secure parameters cannot be opened: %v. Submit the execution again under another name.", err)
	}
	var plain map[string]value
	if err := json.Unmarshal(data, &plain); err != nil {
		return nil, errors.New("the secure parameters were sealed in a form that is not known") // err could quote them
	}
	values := make(domain.SecureValues, len(plain))
	for name, v := range plain {
		values[name] = domain.SecureValue{Username: string(v.Username), Password: secret.New(string(v.Password))}
	}
	return values, nil
}

func valuesOf(executionID string) []byte { return Associated("secure parameters", executionID) }
