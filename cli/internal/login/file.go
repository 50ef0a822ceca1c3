// Package login is how people and programs log in to Airlock servers from the command line, and where the tokens that
// they got are kept: one file, login.json, which only its owner may read, with a login for each server.
//
// A token comes from Airlock's own token endpoint for a client secret, from an OpenID provider by a device code (RFC
// 8628), or from az, which is logged in already. Client secrets are not kept. A login by device code is renewed by its
// refresh token, one from az by asking az again; others end with their token.
package login

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/internal/durable"
	"github.com/airlock-run/airlock/internal/errors"
)

// Login is one login, at one server.
type Login struct {
	Endpoint string    `json:"endpoint"`     // of the server, https:// and no slash at its end
	CA       string    `json:"ca,omitempty"` // PEM; "" for the system's authorities
	Token    string    `json:"token"`
	Expires  time.Time `json:"expires,omitzero"` // zero where nobody has said when

	Refresh *Refresh `json:"refresh,omitempty"`
	Az      string   `json:"az,omitempty"` // the resource for which az is asked again
}

// Refresh is how a token is renewed (RFC 6749, section 6).
type Refresh struct {
	Token    string   `json:"token"`
	TokenURL string   `json:"tokenUrl"`
	ClientID string   `json:"clientId"`
	Scopes   []string `json:"scopes,omitempty"`
}

// early is how long before its end a token is not used any more.
const early = time.Minute

// valid says whether the token can be used still.
func (l Login) valid() bool { return l.Expires.IsZero() || time.Until(l.Expires) > early }

// File is login.json in a directory.
type File struct{ dir string }

// In is the file in the directory of programs' configuration (XDG Base Directory Specification).
func In(configHome string) File { return File{filepath.Join(configHome, "airlock")} }

func (f File) path() string { return filepath.Join(f.dir, "login.json") }

// content is what the file holds.
type content struct {
	Current string           `json:"current"` // endpoint of the latest login
	Logins  map[string]Login `json:"logins"`  // by endpoint
}

// maxFile bounds login.json, which also holds certificates.
const maxFile = 4 << 20

func (f File) read() (c content, err error) {
	data, err := durable.ReadPrivate(f.path(), maxFile)
	if errors.Is(err, os.ErrNotExist) {
		return content{Logins: map[string]Login{}}, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	for endpoint, l := range c.Logins {
		if err == nil && l.Endpoint != endpoint {
			err = fmt.Errorf("%s has a login at %.100q under the name of another server", f.path(), l.Endpoint)
		}
	}
	if err != nil {
		return c, errors.Because(err, errors.Usage, "The file of logins cannot be used: %v. Remove %s to log in anew.", err, f.path())
	}
	if c.Logins == nil {
		c.Logins = map[string]Login{}
	}
	return c, nil
}

// change reads the file, lets do change its content, and writes it, while nobody else does.
func (f File) change(do func(*content) error) error {
	if err := durable.PrivateDir(f.dir); err != nil {
		return f.unusable(err)
	}
	lock, err := os.OpenFile(f.path()+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return f.unusable(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return f.unusable(err)
	}
	c, err := f.read()
	if err != nil {
		return err
	}
	if err := do(&c); err != nil {
		return err
	}
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	if err := durable.WriteFile(f.path(), append(data, '\n')); err != nil {
		return f.unusable(err)
	}
	return nil
}

func (f File) unusable(err error) error {
	return errors.Because(err, errors.Usage, "The directory of logins cannot be used: %v.", err)
}

// Find is the login at a server, or the latest one where endpoint is "".
func (f File) Find(endpoint string) (l Login, found bool, err error) {
	c, err := f.read()
	if endpoint == "" {
		endpoint = c.Current
	}
	l, found = c.Logins[endpoint]
	return l, found, err
}

// Keep keeps a login, in the place of an earlier one at the same server, as the latest one.
func (f File) Keep(l Login) error {
	return f.change(func(c *content) error {
		c.Current, c.Logins[l.Endpoint] = l.Endpoint, l
		return nil
	})
}

// Forget removes the login at a server, or the latest one where endpoint is "". It returns whose it was, "" for none.
func (f File) Forget(endpoint string) (forgotten string, err error) {
	if l, found, err := f.Find(endpoint); err != nil || !found {
		return "", err
	} else {
		endpoint = l.Endpoint
	}
	return endpoint, f.change(func(c *content) error {
		delete(c.Logins, endpoint)
		if c.Current == endpoint {
			c.Current = ""
		}
		for other := range c.Logins {
			c.Current = max(c.Current, other) // any, and always the same
		}
		return nil
	})
}

// ForgetAll removes the file, also one that cannot be read.
func (f File) ForgetAll() error {
	if err := os.Remove(f.path()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return f.unusable(err)
	}
	return nil
}
