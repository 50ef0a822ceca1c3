// Package config reads the configuration of a server: one YAML file, docs/airlock.example.yaml shows all of it.
//
// It is strict. What is not known is an error that names line, key and the nearest known key, and so is a value that
// cannot be right; each error says what would be. A key that is left out has its default (Default). A secret is never in
// the file, which names the file or the environment variable that has it.
package config

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/server"
)

// Config is the configuration of a server.
type Config struct {
	State     string             `yaml:"state"`     // directory for everything that is kept, absolute; /var/lib/airlock
	Listen    string             `yaml:"listen"`    // address of the API, host:port; 127.0.0.1:8443
	URL       string             `yaml:"url"`       // how clients reach the API, https://host[:port]; https:// and listen
	TLS       TLS                `yaml:"tls"`       // of the API
	Isolation executor.Isolation `yaml:"isolation"` // sandbox or none; sandbox
	Executor  Executor           `yaml:"executor"`  // how much runs at once

	// Path of pwsh, absolute; what AIRLOCK_PWSH names, else the first in PATH and in the usual places.
	PowerShell string `yaml:"powershell"`

	Limits    Limits     `yaml:"limits"`    // of one execution
	Issuers   []Issuer   `yaml:"issuers"`   // whose tokens are taken beside Airlock's own; none
	Providers []Provider `yaml:"providers"` // who has the role Provider, whatever is assigned; none
	MasterKey MasterKey  `yaml:"masterKey"` // where the key is by which secrets are sealed
	Secrets   Secrets    `yaml:"secrets"`   // where persistent secrets are kept; in the state directory
	Sessions  Sessions   `yaml:"sessions"`  // what scripts may do in the logins that Airlock makes for them
	Log       Log        `yaml:"log"`       // on standard error
	Audit     Audit      `yaml:"audit"`     // events that somebody may have to answer for
}

// TLS names the certificate of the API. Without one the server makes itself an authority and a certificate, and keeps
// them in the state directory; clients then need its ca.pem.
type TLS struct {
	Certificate string `yaml:"certificate"` // PEM file, absolute, the server's own certificate first
	Key         string `yaml:"key"`         // PEM file, absolute, closed to others
}

// Executor says how much runs at once.
type Executor struct {
	Concurrency int    `yaml:"concurrency"` // private clouds side by side, 1 to 1000; 32
	Node        string `yaml:"node"`        // name of this server in executions and audit; the machine's
}

// Limits are the bounds of one execution. All but output hold in the sandbox only.
type Limits struct {
	Memory        Bytes `yaml:"memory"`        // at least 64MiB; 2GiB
	Threads       int   `yaml:"threads"`       // of all its processes, at least 64; 1024
	OpenFiles     int   `yaml:"openFiles"`     // at once, in a process, at least 64; 1024
	WorkDirectory Bytes `yaml:"workDirectory"` // files of HOME, TMPDIR and /tmp together, at least 1MiB; 25GB
	Output        Bytes `yaml:"output"`        // of all streams together, at least 64KiB; 256MiB
}

// Issuer is somebody whose tokens are taken: an OpenID provider, or a tenant of Microsoft Entra ID (server.Issuer says
// more). Airlock's own endpoint, "airlock", needs no entry.
type Issuer struct {
	Name      string   `yaml:"name"`      // lower-case letters, digits, '-'; it begins the ids of the issuer's principals
	URL       string   `yaml:"url"`       // https://, as the tokens' iss has it; of Entra only where it is not the public one
	Tenant    string   `yaml:"tenant"`    // of Entra, a GUID; left out for other issuers
	Audiences []string `yaml:"audiences"` // of which a token's aud must have one
	CA        string   `yaml:"ca"`        // PEM file with the authorities of the issuer's certificate, absolute; the system's
}

// Provider is a principal that has the role Provider, whatever is assigned.
type Provider struct {
	ID   string               `yaml:"id"`   // name of the issuer (or airlock, or token), ':', and the id there
	Type domain.PrincipalType `yaml:"type"` // User, Group or ServicePrincipal
}

// MasterKey says where the master key is: in one of the three, else in the state directory, where it is made at the first
// start. A backup holds the key only where it lies in the state directory.
type MasterKey struct {
	File        string `yaml:"file"`        // 32 bytes, absolute, closed to others; made where it is missing
	Environment string `yaml:"environment"` // name of a variable that has the 32 bytes in base64

	// Program and arguments, run once at start: it prints the 32 bytes in base64 within 30 s, as the client of a key
	// management service does.
	Command []string `yaml:"command"`
}

// Secrets says where persistent secrets are kept, those of packages and those of private clouds. What is in one place is
// not looked for in the other.
type Secrets struct {
	KeyVault string `yaml:"keyVault"` // address of an Azure Key Vault, https://NAME.vault.azure.net; a backup has no secrets then
}

// Sessions says what scripts may do in the logins that Airlock makes for them.
type Sessions struct {
	Policy string `yaml:"policy"` // file with rules beside those that ship with Airlock, absolute; none
}

// Log says what is logged.
type Log struct {
	Level string `yaml:"level"` // debug, info, warn or error; info
}

// Audit says where audit events go.
type Audit struct {
	File string `yaml:"file"` // JSON lines are appended to it, absolute; audit.log in the state directory
}

// Default has the defaults of all keys that have one.
func Default() Config {
	return Config{
		State: "/var/lib/airlock", Listen: "127.0.0.1:8443", Isolation: executor.IsolationSandbox,
		Executor: Executor{Concurrency: executor.DefaultMaxRunning},
		Limits: Limits{
			Memory: Bytes(executor.DefaultLimits.Memory), Threads: executor.DefaultLimits.Threads, OpenFiles: executor.DefaultLimits.Files,
			WorkDirectory: Bytes(executor.DefaultLimits.WorkDirectory), Output: executor.DefaultMaxOutput,
		},
		Log: Log{Level: "info"},
	}
}

// maxFile bounds a configuration file.
const maxFile = 1 << 20

// Load reads the configuration from a file.
func Load(path string) (Config, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxFile {
		err = fmt.Errorf("it has more than %d bytes", maxFile)
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return Config{}, errors.Because(err, errors.Usage, "The configuration %s cannot be read: %v.", path, err)
	}
	return Parse(filepath.Base(path), data)
}

// Parse reads and checks a configuration. The name is for errors.
func Parse(name string, data []byte) (Config, error) {
	c, lines := Default(), map[string]int{}
	err := decode(data, &c, lines)
	if err == nil {
		err = c.check()
	}
	p, ok := errors.AsType[*problem](err)
	if !ok {
		return c, err
	}
	if p.line == 0 {
		p.line = lines[p.key]
	}
	if p.line > 0 {
		name += " line " + strconv.Itoa(p.line)
	}
	return c, errors.Newf(errors.Usage, "%s: %s.", name, strings.TrimPrefix(p.key+" "+p.text, " "))
}

// Check is for what was changed after Parse.
func (c *Config) Check() error {
	err := c.check()
	if p, ok := errors.AsType[*problem](err); ok {
		return errors.Newf(errors.Usage, "The configuration cannot be used: %s %s.", p.key, p.text)
	}
	return err
}

// problem is what is wrong with a configuration.
type problem struct {
	key  string // "" for the file as a whole
	line int    // 0: that of the key
	text string // goes on after the key
}

func (p *problem) Error() string { return p.key + " " + p.text }

func wrong(key, format string, args ...any) error {
	return &problem{key: key, text: fmt.Sprintf(format, args...)}
}

var (
	nodeName    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	environment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	levels      = []string{"debug", "info", "warn", "error"}
	types       = []domain.PrincipalType{domain.User, domain.Group, domain.ServicePrincipal}
)

// check says what cannot be right, the first of it in the order of the file's keys.
func (c *Config) check() error {
	for _, p := range []struct{ key, path string }{
		{"state", c.State}, {"tls.certificate", c.TLS.Certificate}, {"tls.key", c.TLS.Key},
		{"powershell", c.PowerShell}, {"masterKey.file", c.MasterKey.File}, {"sessions.policy", c.Sessions.Policy}, {"audit.file", c.Audit.File},
	} {
		if p.path != "" && !filepath.IsAbs(p.path) {
			return wrong(p.key, "must be an absolute path, not %q", p.path)
		}
	}
	if c.State == "" {
		return wrong("state", "must be an absolute path")
	}
	if err := c.checkAddress(); err != nil {
		return err
	}
	if (c.TLS.Certificate == "") != (c.TLS.Key == "") {
		return wrong("tls", "needs both certificate and key, or neither")
	}
	if c.Isolation != executor.IsolationSandbox && c.Isolation != executor.IsolationNone {
		return wrong("isolation", "is sandbox or none, not %q", c.Isolation)
	}
	if n := c.Executor.Concurrency; n < 1 || n > 1000 {
		return wrong("executor.concurrency", "is between 1 and 1000, not %d", n)
	}
	if n := c.Executor.Node; n != "" && !nodeName.MatchString(n) {
		return wrong("executor.node", "has 1 to 63 letters, digits, '.', '_' and '-', and is not %.100q", n)
	}
	if err := c.Limits.check(); err != nil {
		return err
	}
	if err := c.checkPrincipals(); err != nil {
		return err
	}
	if m := c.MasterKey; m.File != "" && m.Environment != "" || len(m.Command) > 0 && m.File+m.Environment != "" {
		return wrong("masterKey", "is in a file, in the environment or a command's output: name one of them")
	}
	if m := c.MasterKey; len(m.Command) > 0 && !filepath.IsAbs(m.Command[0]) {
		return wrong("masterKey.command", "must begin with the absolute path of a program")
	}
	if e := c.MasterKey.Environment; e != "" && !environment.MatchString(e) {
		return wrong("masterKey.environment", "must be the name of a variable, such as AIRLOCK_MASTER_KEY (and never the key itself)")
	}
	if !slices.Contains(levels, c.Log.Level) {
		return wrong("log.level", "is one of %s, not %q", strings.Join(levels, ", "), c.Log.Level)
	}
	return nil
}

// checkAddress checks listen and url, and fills url in where it is left out.
func (c *Config) checkAddress() error {
	host, port, err := net.SplitHostPort(c.Listen)
	if n, bad := strconv.Atoi(port); err != nil || bad != nil || n < 0 || n > 65535 {
		return wrong("listen", "is host:port, such as 0.0.0.0:8443, not %q", c.Listen)
	}
	if c.URL == "" {
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			return wrong("url", "must say how clients reach the server, such as https://airlock.example.com:8443, because listen (%s) is every address of this machine", c.Listen)
		}
		return nil
	}
	c.URL = strings.TrimSuffix(c.URL, "/")
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || c.URL != "https://"+u.Host {
		return wrong("url", "is https://host or https://host:port, not %q", c.URL)
	}
	return nil
}

func (l Limits) check() error {
	for _, b := range []struct {
		key         string
		value, from int64
		unit        string
	}{
		{"memory", int64(l.Memory), 64 << 20, " bytes"}, {"threads", int64(l.Threads), 64, ""}, {"openFiles", int64(l.OpenFiles), 64, ""},
		{"workDirectory", int64(l.WorkDirectory), 1 << 20, " bytes"}, {"output", int64(l.Output), 64 << 10, " bytes"},
	} {
		if b.value < b.from {
			return wrong("limits."+b.key, "is at least %d%s, not %d", b.from, b.unit, b.value)
		}
	}
	return nil
}

// checkPrincipals checks issuers, and providers, whose ids begin with the name of one.
func (c *Config) checkPrincipals() error {
	names, issuers := []string{domain.AirlockIssuer, domain.TokenIssuer}, []server.Issuer{}
	for i, given := range c.Issuers {
		key := fmt.Sprintf("issuers[%d].", i)
		if given.CA != "" && !filepath.IsAbs(given.CA) {
			return wrong(key+"ca", "must be an absolute path, not %q", given.CA)
		}
		names, issuers = append(names, given.Name), append(issuers, given.Issuer())
		if err := server.CheckIssuers(c.URL, issuers); err != nil { // those before are right
			e := errors.For(err, "")
			return wrong(key+e.Target, "is wrong: %s", strings.TrimSuffix(e.Message, "."))
		}
	}
	for i, p := range c.Providers {
		key := fmt.Sprintf("providers[%d].", i)
		issuer, rest, _ := strings.Cut(p.ID, ":")
		if !slices.Contains(names, issuer) || rest == "" {
			return wrong(key+"id", "is the name of an issuer (%s), a colon and an id, not %q", strings.Join(names, ", "), p.ID)
		}
		if !slices.Contains(types, p.Type) {
			return wrong(key+"type", "is User, Group or ServicePrincipal, not %q", p.Type)
		}
	}
	return nil
}

// Issuer is the issuer as the server takes it, without the authorities.
func (i Issuer) Issuer() server.Issuer {
	return server.Issuer{Name: i.Name, URL: i.URL, Tenant: i.Tenant, Audiences: i.Audiences}
}
