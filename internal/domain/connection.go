package domain

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Connection is how Airlock reaches a private cloud and logs in there. It holds no credential, only references to
// them. Its form as JSON is that of the API and of the store.
type Connection struct {
	Address    string    `json:"address,omitempty"`    // host:port to dial for the vCenter; "" for its name and port 443
	CA         string    `json:"ca,omitempty"`         // PEM: who may have signed the vCenter's certificate
	Thumbprint string    `json:"thumbprint,omitempty"` // SHA-256 of the certificate itself, in place of an authority; see ParseThumbprint
	User       string    `json:"user"`                 // with the SSO domain: scripting@vsphere.local
	Password   Reference `json:"password"`
	Hosts      []SSHHost `json:"hosts,omitempty"` // where scripts may use SSH
}

// SSHHost is an SSH server of a private cloud. It takes a password or a key.
type SSHHost struct {
	Name     string     `json:"name"`              // FQDN of an ESXi host, or "VC" for the vCenter itself
	Address  string     `json:"address,omitempty"` // host:port to dial; "" for the name and port 22
	User     string     `json:"user"`
	Password *Reference `json:"password,omitempty"`
	Key      *Reference `json:"key,omitempty"`     // a private key without a passphrase, in PEM
	HostKey  string     `json:"hostKey,omitempty"` // in the form of authorized_keys; "" to keep the one of the first login
}

// VCenterSSH is the name under which the vCenter's own SSH server is reached.
const VCenterSSH = "VC"

// Reference says where a credential is. Exactly one field is set. The credential is read again at each login, so that
// one that was changed is found.
type Reference struct {
	File        string `json:"file,omitempty"`        // absolute path on the server, closed to all but Airlock's user
	Environment string `json:"environment,omitempty"` // a variable of the server
	Secret      string `json:"secret,omitempty"`      // a name in the secret store, among those of the private cloud itself
}

// OwnSecrets is the package id under which the secret store keeps what belongs to a private cloud itself. No package
// may have it.
const OwnSecrets = "airlock"

// MaxHosts bounds the SSH hosts of one private cloud: more than the 96 hosts that a cluster of vSphere 8 has.
const MaxHosts = 256

var (
	variableForm   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,254}$`)
	secretForm     = regexp.MustCompile(`^[0-9a-zA-Z-]{1,127}$`)
	userForm       = regexp.MustCompile(`^[^\x00-\x20\x7f]([^\x00-\x1f\x7f]{0,253}[^\x00-\x20\x7f])?$`)
	thumbprintForm = regexp.MustCompile(`^[0-9A-F]{64}$`)
)

// String says in words where the credential is.
func (r Reference) String() string {
	switch {
	case r.File != "":
		return "the file " + r.File
	case r.Environment != "":
		return "the variable " + r.Environment
	}
	return "the secret " + r.Secret
}

// Check says what is wrong with the reference.
func (r Reference) Check() error {
	given := 0
	for _, s := range []string{r.File, r.Environment, r.Secret} {
		if s != "" {
			given++
		}
	}
	switch {
	case given != 1:
		return fmt.Errorf("must have exactly one of file, environment and secret")
	case r.File != "" && (!filepath.IsAbs(r.File) || len(r.File) > 4096 || strings.ContainsRune(r.File, 0)):
		return fmt.Errorf("names the file %.300q; write an absolute path on the server", r.File)
	case r.Environment != "" && !variableForm.MatchString(r.Environment):
		return fmt.Errorf("names the variable %.300q; the name of one has letters, digits and '_'", r.Environment)
	case r.Secret != "" && !secretForm.MatchString(r.Secret):
		return fmt.Errorf("names the secret %.300q; the name of one has 1 to 127 letters A to Z, digits and '-'", r.Secret)
	}
	return nil
}

// ParseThumbprint reads a SHA-256 thumbprint of a certificate, with or without colons, and gives it the form in which
// vCenter and openssl show it: 32 bytes in upper-case hexadecimal with colons between them.
func ParseThumbprint(s string) (string, error) {
	digits := strings.ToUpper(strings.ReplaceAll(strings.TrimSpace(s), ":", ""))
	if !thumbprintForm.MatchString(digits) {
		return "", fmt.Errorf("%.200q is not a SHA-256 thumbprint, which has 32 bytes in hexadecimal; openssl x509 -fingerprint -sha256 shows it", s)
	}
	sum, err := hex.DecodeString(digits)
	return FormatThumbprint([32]byte(sum)), err
}

// FormatThumbprint is the form that ParseThumbprint makes.
func FormatThumbprint(sum [32]byte) string {
	return strings.ReplaceAll(strings.TrimSpace(fmt.Sprintf("% X", sum[:])), " ", ":")
}

// ParseServerName reads the name of a server of a private cloud: a host name in lower case, and no address, because
// scripts go by names, and certificates too.
func ParseServerName(s string) (string, error) {
	name, err := canonicalHost(s)
	if err != nil {
		return "", err
	}
	if _, isAddress := (Destination{Host: name}).Addr(); isAddress || !strings.Contains(name, ".") {
		return "", fmt.Errorf("%.300q is not a name with its domain, such as vc.example.com", s)
	}
	return name, nil
}

// Normalize brings names, addresses, thumbprint and keys into their one form, and says what is wrong with the
// connection, beginning with the field that is meant.
func (c *Connection) Normalize() error {
	var err error
	if c.Address, err = parseAddress(c.Address); err != nil {
		return fmt.Errorf("address: %w", err)
	}
	switch {
	case c.CA != "" && c.Thumbprint != "":
		return fmt.Errorf("has both ca and thumbprint; the one is for a certificate that an authority has signed, the other for one certificate: leave one out")
	case c.Thumbprint != "":
		if c.Thumbprint, err = ParseThumbprint(c.Thumbprint); err != nil {
			return fmt.Errorf("thumbprint: %w", err)
		}
	case c.CA != "":
		if err := checkCA(c.CA); err != nil {
			return fmt.Errorf("ca %w", err)
		}
	}
	if !userForm.MatchString(c.User) {
		return fmt.Errorf("user is missing or no user's name; write it with its domain: scripting@vsphere.local")
	}
	if err := c.Password.Check(); err != nil {
		return fmt.Errorf("password %w", err)
	}
	if len(c.Hosts) > MaxHosts {
		return fmt.Errorf("hosts has %d hosts; at most %d are possible", len(c.Hosts), MaxHosts)
	}
	seen := map[string]bool{}
	for i := range c.Hosts {
		h := &c.Hosts[i]
		if err := h.normalize(); err != nil {
			return fmt.Errorf("hosts[%d].%w", i, err)
		}
		if seen[h.Name] {
			return fmt.Errorf("hosts[%d].name: %s stands there twice", i, h.Name)
		}
		seen[h.Name] = true
	}
	return nil
}

func (h *SSHHost) normalize() (err error) {
	if strings.EqualFold(h.Name, VCenterSSH) {
		h.Name = VCenterSSH
	} else if h.Name, err = ParseServerName(h.Name); err != nil {
		return fmt.Errorf("name: %w", err)
	}
	if h.Address, err = parseAddress(h.Address); err != nil {
		return fmt.Errorf("address: %w", err)
	}
	if !userForm.MatchString(h.User) {
		return fmt.Errorf("user is missing or no user's name")
	}
	switch {
	case (h.Password == nil) == (h.Key == nil):
		return fmt.Errorf("password or key: exactly one of them is needed")
	case h.Password != nil:
		if err := h.Password.Check(); err != nil {
			return fmt.Errorf("password %w", err)
		}
	default:
		if err := h.Key.Check(); err != nil {
			return fmt.Errorf("key %w", err)
		}
	}
	if h.HostKey == "" {
		return nil
	}
	key, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(h.HostKey))
	if err != nil || len(rest) > 0 {
		return fmt.Errorf("hostKey is not one public key; write type and key, as ssh-keyscan shows them: ssh-ed25519 AAAA…")
	}
	h.HostKey = FormatHostKey(key)
	return nil
}

// FormatHostKey is the one form in which host keys are kept and shown: type and key, as in authorized_keys.
func FormatHostKey(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

func parseAddress(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	d, err := ParseDestination(s)
	return d.String(), err
}

// checkCA says what is wrong with certificates of authorities in PEM.
func checkCA(text string) error {
	found := false
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("holds a %.60s; only certificates belong there", block.Type)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("holds a certificate that cannot be read: %w", err)
		}
		found = true
	}
	if !found {
		return fmt.Errorf("holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
	}
	return nil
}

// Finding is what one test of a connection found, in one sentence.
type Finding struct {
	Subject string `json:"subject"` // what was tested: "vc.example.com login"
	OK      bool   `json:"ok"`
	Message string `json:"message"`
}

// Report is what the tests of a connection found.
type Report struct {
	Findings []Finding `json:"findings"`
	Hosts    []string  `json:"hosts"` // names of the hosts in the vCenter's inventory
}
