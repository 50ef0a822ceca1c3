package domain_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/airlock-run/airlock/internal/ca"
	"github.com/airlock-run/airlock/internal/domain"
)

const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDkk7mlXkRzcpsJ3jDd0gJRHKLC9jIs2IZb1fS5JHgUA"

func TestConnectionHasOneForm(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256(nil)
	c := domain.Connection{
		Address: "VC.Example.:8443", Thumbprint: fmt.Sprintf("%x", sum), User: `VSPHERE.LOCAL\script runner`, Password: domain.Reference{File: "/etc/airlock/vc"},
		Hosts: []domain.SSHHost{
			{Name: "ESX1.example.COM.", User: "root", Key: &domain.Reference{Secret: "key-1"}, HostKey: hostKey + " root@esx1\n"},
			{Name: "vc", Address: "[::1]:22", User: "root", Password: &domain.Reference{Environment: "VC_ROOT"}},
		},
	}
	if err := c.Normalize(); err != nil {
		t.Fatal(err)
	}
	if c.Address != "vc.example:8443" || c.Thumbprint != domain.FormatThumbprint(sum) || !strings.HasPrefix(c.Thumbprint, "E3:B0:C4:42:98") ||
		c.Hosts[0].Name != "esx1.example.com" || c.Hosts[0].HostKey != hostKey || c.Hosts[1].Name != domain.VCenterSSH || c.Hosts[1].Address != "[::1]:22" {
		t.Errorf("it reads %+v", c)
	}
	before, _ := json.Marshal(c)
	if err := c.Normalize(); err != nil {
		t.Fatal(err)
	}
	if after, _ := json.Marshal(c); string(after) != string(before) {
		t.Errorf("%s becomes %s", before, after)
	}
}

func TestConnectionsThatAreRefused(t *testing.T) {
	t.Parallel()
	authority, _, err := ca.Issue(ca.Request{Name: "a test", Hosts: []string{"vc.example"}, Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*domain.Connection){
		"address: ":                             func(c *domain.Connection) { c.Address = "vc.example" },
		"leave one out":                         func(c *domain.Connection) { c.CA, c.Thumbprint = string(authority), strings.Repeat("ab", 32) },
		"thumbprint: ":                          func(c *domain.Connection) { c.Thumbprint = "ab:cd" },
		"no certificate in PEM":                 func(c *domain.Connection) { c.CA = "/etc/ssl/ca.pem" },
		"cannot be read":                        func(c *domain.Connection) { c.CA = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" },
		"holds a PRIVATE KEY":                   func(c *domain.Connection) { c.CA = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" },
		"user is missing":                       func(c *domain.Connection) { c.User = "" },
		"or no user's name":                     func(c *domain.Connection) { c.User = "a\nb" },
		"exactly one of file":                   func(c *domain.Connection) { c.Password = domain.Reference{} },
		"must have exactly one":                 func(c *domain.Connection) { c.Password.Secret = "s" },
		"an absolute path":                      func(c *domain.Connection) { c.Password.File = "etc/x" },
		"names the variable":                    func(c *domain.Connection) { c.Password = domain.Reference{Environment: "A B"} },
		"names the secret":                      func(c *domain.Connection) { c.Password = domain.Reference{Secret: "../x"} },
		"hosts[0].name: ":                       func(c *domain.Connection) { c.Hosts[0].Name = "10.0.0.1" },
		`hosts[0].name: "esx1" is not`:          func(c *domain.Connection) { c.Hosts[0].Name = "esx1" },
		"hosts[0].address: ":                    func(c *domain.Connection) { c.Hosts[0].Address = "x:0" },
		"hosts[0].user":                         func(c *domain.Connection) { c.Hosts[0].User = " " },
		"hosts[0].password or key: exactly one": func(c *domain.Connection) { c.Hosts[0].Password = nil },
		"password or key: exactly one":          func(c *domain.Connection) { c.Hosts[0].Key = c.Hosts[0].Password },
		"hosts[0].password must have":           func(c *domain.Connection) { c.Hosts[0].Password = &domain.Reference{} },
		"hosts[0].key must have":                func(c *domain.Connection) { c.Hosts[0].Password, c.Hosts[0].Key = nil, &domain.Reference{} },
		"hosts[0].hostKey":                      func(c *domain.Connection) { c.Hosts[0].HostKey = "SHA256:abc" },
		"is not one public key":                 func(c *domain.Connection) { c.Hosts[0].HostKey = hostKey + "\n" + hostKey },
		"hosts[1].name: esx1.example stands":    func(c *domain.Connection) { c.Hosts = append(c.Hosts, c.Hosts[0]) },
		"hosts has 257 hosts; at most 256":      func(c *domain.Connection) { c.Hosts = make([]domain.SSHHost, 257) },
	} {
		c := domain.Connection{User: "u", Password: domain.Reference{File: "/f"}, Hosts: []domain.SSHHost{{Name: "esx1.example", User: "root", Password: &domain.Reference{File: "/f"}}}}
		spoil(&c)
		if err := c.Normalize(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want one with %q", err, want)
		}
	}
}
