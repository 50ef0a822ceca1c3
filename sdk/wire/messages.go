package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/airlock-run/airlock/sdk/secret"
)

// Hello is the script's first frame.
type Hello struct {
	Protocols []int  `json:"protocols"` // versions that the script speaks
	SDK       string `json:"sdk"`       // name and version, for whoever looks into the conversation
}

// Start tells the script what to run and with what. Only EncodeStart writes its secrets.
type Start struct {
	Protocol       int
	ExecutionID    string
	ExecutionName  string
	Cmdlet         string
	TimeoutSeconds int // from now
	Parameters     map[string]Argument
	VCAddress      string
	SddcDNSSuffix  string
	SddcResourceID string
	AadAuthority   string
	Secrets        map[string]secret.Text // the package's persistent secrets
	Grant          Grant
	TakesProgress  bool // the script may send KindProgress
}

// Argument is the value of a parameter.
type Argument struct {
	Type     manifest.Type
	Value    string      // of a type that is not secret, in the form of the ARM API
	Username string      // of a Credential
	Secret   secret.Text // of a SecureString, or the password of a Credential
}

// Grant is what the script reaches vCenter and hosts with. It ends with the execution.
type Grant struct {
	CA      string      // PEM
	User    string      // of vCenter and SSH logins
	Token   secret.Text // stands where a vCenter session id or a password would
	Key     secret.Text // SSH private key, OpenSSH PEM
	VCenter Endpoint
	Hosts   []Endpoint // HTTPS of ESXi hosts, for the files of leases
	SSH     []SSHEndpoint
}

// Endpoint is a server by its real name, and the address to dial for it.
type Endpoint struct {
	Host string `json:"host"`
	Addr string `json:"addr"`
}

// SSHEndpoint is an SSH server, with its host key in the form of authorized_keys.
type SSHEndpoint struct {
	Endpoint
	HostKey string `json:"hostKey"`
}

// SecretChange sets a persistent secret, or deletes it where Value is nil. It is kept only when the cmdlet ends well,
// and its value redacted from then on in any case. The value is Unicode text without U+FFFD: that is what JSON decoders
// make of anything else, and then neither the script nor Airlock would have the secret that was meant.
type SecretChange struct {
	Name  string
	Value *secret.Text
}

// End is the script's last frame.
type End struct {
	Failure      string            `json:"failure,omitempty"` // one sentence; "" means the cmdlet ended well
	NamedOutputs map[string]string `json:"namedOutputs,omitempty"`
}

// Cancel asks the script to end. The kill follows Grace seconds later.
type Cancel struct {
	Reason string `json:"reason"`
	Grace  int    `json:"graceSeconds"`
}

// The forms on the wire of what holds secrets.
type (
	startForm struct {
		Protocol       int                     `json:"protocol"`
		ExecutionID    string                  `json:"executionId"`
		ExecutionName  string                  `json:"executionName"`
		Cmdlet         string                  `json:"cmdlet"`
		TimeoutSeconds int                     `json:"timeoutSeconds"`
		Parameters     map[string]argumentForm `json:"parameters"`
		VCAddress      string                  `json:"vcAddress"`
		SddcDNSSuffix  string                  `json:"sddcDnsSuffix"`
		SddcResourceID string                  `json:"sddcResourceId"`
		AadAuthority   string                  `json:"aadAuthority"`
		Secrets        map[string]string       `json:"persistentSecrets"`
		Grant          grantForm               `json:"grant"`
		TakesProgress  bool                    `json:"takesProgress"`
	}
	argumentForm struct {
		Type     manifest.Type `json:"type"`
		Value    string        `json:"value,omitempty"`
		Username string        `json:"username,omitempty"`
		Secret   string        `json:"secret,omitempty"`
	}
	grantForm struct {
		CA      string        `json:"ca"`
		User    string        `json:"user"`
		Token   string        `json:"token"`
		Key     string        `json:"key"`
		VCenter Endpoint      `json:"vcenter"`
		Hosts   []Endpoint    `json:"hosts,omitempty"`
		SSH     []SSHEndpoint `json:"ssh"`
	}
	secretForm struct {
		Name  string  `json:"name"`
		Value *string `json:"value"`
	}
)

// EncodeStart writes the payload of a KindStart frame, secrets included.
func EncodeStart(s Start) ([]byte, error) {
	form := startForm{
		Protocol: s.Protocol, ExecutionID: s.ExecutionID, ExecutionName: s.ExecutionName, Cmdlet: s.Cmdlet,
		TimeoutSeconds: s.TimeoutSeconds, Parameters: map[string]argumentForm{},
		VCAddress: s.VCAddress, SddcDNSSuffix: s.SddcDNSSuffix, SddcResourceID: s.SddcResourceID,
		AadAuthority: s.AadAuthority, Secrets: map[string]string{}, TakesProgress: s.TakesProgress,
		Grant: grantForm{s.Grant.CA, s.Grant.User, s.Grant.Token.Reveal(), s.Grant.Key.Reveal(), s.Grant.VCenter, s.Grant.Hosts, s.Grant.SSH},
	}
	for name, a := range s.Parameters {
		form.Parameters[name] = argumentForm{a.Type, a.Value, a.Username, a.Secret.Reveal()}
	}
	for name, v := range s.Secrets {
		form.Secrets[name] = v.Reveal()
	}
	return json.Marshal(form)
}

// DecodeStart reads the payload of a KindStart frame.
func DecodeStart(payload []byte) (Start, error) {
	var form startForm
	if err := decode(payload, &form); err != nil {
		return Start{}, err
	}
	s := Start{
		Protocol: form.Protocol, ExecutionID: form.ExecutionID, ExecutionName: form.ExecutionName, Cmdlet: form.Cmdlet,
		TimeoutSeconds: form.TimeoutSeconds, Parameters: map[string]Argument{},
		VCAddress: form.VCAddress, SddcDNSSuffix: form.SddcDNSSuffix, SddcResourceID: form.SddcResourceID,
		AadAuthority: form.AadAuthority, Secrets: map[string]secret.Text{}, TakesProgress: form.TakesProgress,
		Grant: Grant{form.Grant.CA, form.Grant.User, secret.New(form.Grant.Token), secret.New(form.Grant.Key), form.Grant.VCenter, form.Grant.Hosts, form.Grant.SSH},
	}
	for name, a := range form.Parameters {
		s.Parameters[name] = Argument{a.Type, a.Value, a.Username, secret.New(a.Secret)}
	}
	for name, v := range form.Secrets {
		s.Secrets[name] = secret.New(v)
	}
	return s, nil
}

var errNoText = errors.New("the value is no text (UTF-8 without U+FFFD); encode it, for instance as base64")

// EncodeSecret writes the payload of a KindSecret frame, the value included.
func EncodeSecret(c SecretChange) ([]byte, error) {
	form := secretForm{Name: c.Name}
	if c.Value != nil {
		v := c.Value.Reveal()
		if strings.ContainsRune(v, utf8.RuneError) { // finds bytes that are not UTF-8, too
			return nil, errNoText
		}
		form.Value = &v
	}
	return json.Marshal(form)
}

// DecodeSecret reads the payload of a KindSecret frame.
func DecodeSecret(payload []byte) (SecretChange, error) {
	var form secretForm
	if err := decode(payload, &form); err != nil {
		return SecretChange{}, err
	}
	c := SecretChange{Name: form.Name}
	if form.Value != nil {
		if strings.ContainsRune(*form.Value, utf8.RuneError) {
			return SecretChange{}, errNoText
		}
		v := secret.New(*form.Value)
		c.Value = &v
	}
	return c, nil
}

// Encode writes the payload of a Hello, End or Cancel.
func Encode[M Hello | End | Cancel](m M) ([]byte, error) { return json.Marshal(m) }

// Decode reads the payload of a Hello, End or Cancel. Unknown fields are left alone, so that a later version may add some.
func Decode[M Hello | End | Cancel](payload []byte) (M, error) {
	var m M
	err := decode(payload, &m)
	return m, err
}

// decode reads one JSON object in UTF-8. Go's decoder alone takes null for an empty one, and replaces what is not UTF-8.
func decode(payload []byte, into any) error {
	if !bytes.HasPrefix(bytes.TrimLeft(payload, " \t\r\n"), []byte("{")) || !utf8.Valid(payload) {
		return errors.New("wire: a message is not a JSON object in UTF-8")
	}
	if err := json.Unmarshal(payload, into); err != nil {
		return fmt.Errorf("wire: %w", err)
	}
	return nil
}
