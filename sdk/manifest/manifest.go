// Package manifest describes what a script package offers: the file airlock.json at the root of a Go package, and
// what the analysis of any other kind of package results in. Everybody reads declarations from here, nobody runs a
// package to learn them.
package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// File is the manifest's name inside a package.
const File = "airlock.json"

// Version is the version of the manifest's format that this code writes, and the only one it reads.
const Version = 1

// Limits of a declaration's timeout.
const (
	DefaultTimeout = 30 * time.Minute
	MaxTimeout     = 60 * time.Minute
)

// Runtime says what runs a package's cmdlets.
type Runtime string

// The runtimes.
const (
	Go         Runtime = "go"         // runs a static executable that speaks the wire protocol (sdk/wire)
	PowerShell Runtime = "powershell" // imports a module, whose declarations come from its source; it has no airlock.json
)

// Manifest is the content of airlock.json.
type Manifest struct {
	ManifestVersion int               `json:"manifestVersion"`
	Name            string            `json:"name"`
	Version         string            `json:"version"`
	Description     string            `json:"description"`
	Company         string            `json:"company,omitempty"`
	ProjectURI      string            `json:"projectUri,omitempty"`
	Runtime         Runtime           `json:"runtime"`
	Binaries        map[string]string `json:"binaries,omitempty"` // path in the package by platform, "linux/amd64"
	Cmdlets         []Cmdlet          `json:"cmdlets"`
}

// Cmdlet is the declaration of one script cmdlet.
type Cmdlet struct {
	Name           string      `json:"name"` // Verb-Noun, or the bare name of a lifecycle kind
	Description    string      `json:"description"`
	TimeoutSeconds int         `json:"timeoutSeconds,omitempty"` // 0 means DefaultTimeout
	UpdatesSDDC    bool        `json:"updatesSDDC,omitempty"`    // the private cloud reads Updating while it runs
	AutomationOnly bool        `json:"automationOnly,omitempty"` // for applications, not for persons
	Lifecycle      Lifecycle   `json:"lifecycle,omitempty"`
	Parameters     []Parameter `json:"parameters"`
}

// Timeout is how long the cmdlet may run unless an execution asks for another time.
func (c Cmdlet) Timeout() time.Duration {
	if c.TimeoutSeconds == 0 {
		return DefaultTimeout
	}
	return time.Duration(c.TimeoutSeconds) * time.Second
}

// Parameter finds a parameter by its name, whose case does not matter.
func (c Cmdlet) Parameter(name string) (Parameter, bool) {
	for _, p := range c.Parameters {
		if strings.EqualFold(p.Name, name) {
			return p, true
		}
	}
	return Parameter{}, false
}

// Parameter is the declaration of one parameter of a cmdlet.
type Parameter struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Type        Type   `json:"type"`
	Required    bool   `json:"required,omitempty"`
	Default     string `json:"default,omitempty"` // for people: the source of what the cmdlet takes if it is not given
	Note        string `json:"note,omitempty"`    // for people: what the type does not say
}

// Type of a parameter, in the words of the ARM API.
type Type string

// The types of parameters.
const (
	String       Type = "String"
	Int          Type = "Int"
	Float        Type = "Float"
	Bool         Type = "Bool"
	SecureString Type = "SecureString"
	Credential   Type = "Credential"
)

// Secret says whether values of the type are kept from sight.
func (t Type) Secret() bool { return t == SecureString || t == Credential }

func (t Type) valid() bool {
	switch t {
	case String, Int, Float, Bool, SecureString, Credential:
		return true
	}
	return false
}

// Lifecycle is the part that a cmdlet plays in the life of the product that its package installs.
type Lifecycle string

// The kinds of lifecycle cmdlets. The zero value means none.
const (
	PreflightInstall   Lifecycle = "preflight-install"
	Install            Lifecycle = "install"
	PreflightUpgrade   Lifecycle = "preflight-upgrade"
	Upgrade            Lifecycle = "upgrade"
	RotateCredentials  Lifecycle = "rotate-credentials"
	PreflightUninstall Lifecycle = "preflight-uninstall"
	Uninstall          Lifecycle = "uninstall"
	Diagnostics        Lifecycle = "diagnostics"
)

// Valid says whether the kind is one of them.
func (l Lifecycle) Valid() bool {
	switch l {
	case PreflightInstall, Install, PreflightUpgrade, Upgrade, RotateCredentials, PreflightUninstall, Uninstall, Diagnostics:
		return true
	}
	return false
}

var (
	packageName = regexp.MustCompile(`^[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,98}[A-Za-z0-9_])?$`)
	verbNoun    = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*-[A-Za-z][A-Za-z0-9]*$`)
	identifier  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
)

// maxText is the most bytes of a text for people. It reaches terminals and lists.
const maxText = 4096

const textRule = "must be at most 4096 bytes of text without control characters other than line breaks and tabs"

func text(s string) bool {
	return len(s) <= maxText && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t'
	})
}

// Cmdlet finds a cmdlet by its name, whose case does not matter.
func (m Manifest) Cmdlet(name string) (Cmdlet, bool) {
	for _, c := range m.Cmdlets {
		if strings.EqualFold(c.Name, name) {
			return c, true
		}
	}
	return Cmdlet{}, false
}

// Parse reads a manifest and validates it. Unknown fields are refused: they are most often a known one, misspelt.
func Parse(data []byte) (Manifest, error) {
	var m Manifest
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return Manifest{}, fmt.Errorf("%s: %w", File, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return Manifest{}, fmt.Errorf("%s: there is something after the end of the manifest", File)
	}
	return m, m.Validate()
}

// Encode writes the manifest as it lies in a package.
func (m Manifest) Encode() ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	data, err := json.MarshalIndent(m, "", "  ")
	return append(data, '\n'), err
}

// Source is the file in the package that says what the manifest does, for people.
func (m Manifest) Source() string {
	if m.Runtime == PowerShell {
		return m.Name + ".psd1"
	}
	return File
}

// Validate says in one sentence what is wrong with the manifest. It does not judge the version's form: that is the
// repository's.
func (m Manifest) Validate() error {
	switch {
	case m.ManifestVersion != Version:
		return fmt.Errorf("%s: manifestVersion is %d, only %d is known", m.Source(), m.ManifestVersion, Version)
	case !packageName.MatchString(m.Name):
		return fmt.Errorf("%s: the package name %q must be at most 100 letters, digits, '.', '_' or '-', with a letter, digit or '_' at both ends", m.Source(), m.Name)
	case m.Version == "":
		return fmt.Errorf("%s: the package has no version", m.Source())
	case m.Runtime != Go && m.Runtime != PowerShell:
		return fmt.Errorf("%s: the runtime %q is not known", m.Source(), m.Runtime)
	case len(m.Cmdlets) == 0:
		return fmt.Errorf("%s: the package has no cmdlets", m.Source())
	}
	for what, s := range map[string]string{"version": m.Version, "description": m.Description, "company": m.Company, "project URI": m.ProjectURI} {
		if !text(s) {
			return fmt.Errorf("%s: the %s of the package %s", m.Source(), what, textRule)
		}
	}
	seen := map[string]bool{}
	for _, c := range m.Cmdlets {
		if key := strings.ToLower(c.Name); seen[key] {
			return fmt.Errorf("%s: the cmdlet %s is there twice (case does not matter)", m.Source(), c.Name)
		} else {
			seen[key] = true
		}
		if err := c.Validate(); err != nil {
			return fmt.Errorf("%s: %w", m.Source(), err)
		}
	}
	return nil
}

// ValidCmdlet says whether a cmdlet can have the name: it is of the form Verb-Noun, or a kind of lifecycle cmdlets.
func ValidCmdlet(name string) bool { return verbNoun.MatchString(name) || Lifecycle(name).Valid() }

// ValidParameter says whether a parameter can have the name.
func ValidParameter(name string) bool { return identifier.MatchString(name) }

// Validate says in one sentence what is wrong with the declaration.
func (c Cmdlet) Validate() error {
	switch {
	case !ValidCmdlet(c.Name):
		return fmt.Errorf("the cmdlet name %q is not of the form Verb-Noun", c.Name)
	case c.TimeoutSeconds < 0:
		return fmt.Errorf("%s: the timeout is negative", c.Name)
	case c.TimeoutSeconds > int(MaxTimeout/time.Second): // in seconds, of which a Duration cannot hold all that an int can
		return fmt.Errorf("%s: the timeout of %d s is longer than %v", c.Name, c.TimeoutSeconds, MaxTimeout)
	case c.Lifecycle != "" && !c.Lifecycle.Valid():
		return fmt.Errorf("%s: the lifecycle kind %q is not known", c.Name, c.Lifecycle)
	case !text(c.Description):
		return fmt.Errorf("%s: the description %s", c.Name, textRule)
	}
	seen := map[string]bool{}
	for _, p := range c.Parameters {
		key := strings.ToLower(p.Name)
		switch {
		case !identifier.MatchString(p.Name):
			return fmt.Errorf("%s: the parameter name %q must be a letter or '_', then at most 127 letters, digits or '_'", c.Name, p.Name)
		case seen[key]:
			return fmt.Errorf("%s: the parameter %s is there twice (case does not matter)", c.Name, p.Name)
		case !p.Type.valid():
			return fmt.Errorf("%s: the parameter %s has the unknown type %q", c.Name, p.Name, p.Type)
		case !text(p.Description):
			return fmt.Errorf("%s: the description of the parameter %s %s", c.Name, p.Name, textRule)
		case !text(p.Default) || !text(p.Note):
			return fmt.Errorf("%s: the default and the note of the parameter %s %s", c.Name, p.Name, textRule)
		}
		seen[key] = true
	}
	return nil
}
