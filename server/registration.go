package server

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
)

// airlockProperties are our own of a private cloud, beside ARM's.
type airlockProperties struct {
	Connection   *connection       `json:"connection,omitempty"` // there is none of a simulated one
	Egress       string            `json:"egress"`
	Dev          bool              `json:"dev"`
	Paused       bool              `json:"paused"`
	DNSSuffix    string            `json:"dnsSuffix"`
	AadAuthority string            `json:"aadAuthority"`
	State        domain.CloudState `json:"state"`
}

type connection struct {
	VCenter string `json:"vcenter"`
	domain.Connection
}

func airlockOf(c domain.PrivateCloud) *airlockProperties {
	p := &airlockProperties{
		Egress: c.Egress.String(), Dev: c.Dev, Paused: c.Paused, DNSSuffix: c.DNSSuffix, AadAuthority: c.AadAuthority, State: c.State,
	}
	if c.Connection != nil {
		p.Connection = &connection{c.VCenter, *c.Connection}
	}
	return p
}

// putCloud registers a private cloud or changes one. What the body leaves out stays as it is, but properties.airlock is
// taken as a whole. It is done when it answers: the private cloud itself is somebody else's.
func (s *Server) putCloud(a *answer, r *request) error {
	body, err := r.readObject(a)
	if err != nil {
		return err
	}
	s.registering.Lock()
	defer s.registering.Unlock()
	c, err := s.cfg.Store.PrivateCloud(r.Context(), r.cloud)
	status := http.StatusOK
	if errors.Has(err, errors.ResourceNotFound) {
		c, status, err = domain.PrivateCloud{ID: r.cloud, Location: "global", SKU: "custom"}, http.StatusCreated, nil
	}
	if err != nil {
		return err
	}
	was := c.State
	if err := changeCloud(body, &c, status == http.StatusCreated); err != nil {
		return err
	}
	if status == http.StatusCreated { // a removal that came to no end has left secrets of another one of this name
		if err := s.cfg.Secrets.RemoveCloud(r.Context(), r.cloud); err != nil {
			return err
		}
	}
	if c.State == was { // it may be the mark of an execution, and stays that
		c.State = ""
	}
	if err := s.cfg.Store.PutPrivateCloud(r.Context(), c); err != nil {
		return err
	}
	if c, err = s.cfg.Store.PrivateCloud(r.Context(), r.cloud); err != nil {
		return err
	}
	return a.send(status, r.cloudResource(c))
}

// changeCloud brings a body into a private cloud. ARM's fields that Airlock does not use are ignored; of our own those
// that are not known are errors.
func changeCloud(body object, c *domain.PrivateCloud, isNew bool) error {
	sku, _, err := body.optional("sku")
	if err != nil {
		return err
	}
	properties, _, err := body.optional("properties")
	if err != nil {
		return err
	}
	cluster, _, err := properties.optional("managementCluster")
	if err != nil {
		return err
	}
	for _, read := range []error{
		body.label("location", &c.Location), sku.label("name", &c.SKU), properties.label("networkBlock", &c.NetworkBlock),
		cluster.number("clusterSize", 1024, &c.ClusterSize),
	} {
		if read != nil {
			return read
		}
	}
	if _, err := netip.ParsePrefix(c.NetworkBlock); err != nil && c.NetworkBlock != "" {
		return malformed(properties.at("networkBlock"), "must be a network such as 10.0.0.0/22")
	}
	own, given, err := properties.optional("airlock")
	switch {
	case err != nil:
		return err
	case !given && isNew:
		return malformed("properties.airlock.connection", "is missing; it says how Airlock reaches the private cloud")
	case !given:
		return nil
	}
	return changeOwn(own, c, isNew)
}

func changeOwn(own object, c *domain.PrivateCloud, isNew bool) error {
	if err := own.only("connection", "egress", "dev", "paused", "dnsSuffix", "aadAuthority", "state"); err != nil {
		return err
	}
	conn, given, err := own.optional("connection")
	switch {
	case err != nil:
		return err
	case given:
		if err := changeConnection(conn, c); err != nil {
			return err
		}
	case isNew || c.Connection != nil:
		return malformed(own.at("connection"), "is missing; it says how Airlock reaches the private cloud")
	}
	c.DNSSuffix, c.AadAuthority = suffix(c.VCenter), "https://login.microsoftonline.com/"
	egress, state := domain.Egress{}.String(), string(c.State)
	c.Dev, c.Paused = false, false
	for _, read := range []error{
		own.label("egress", &egress), own.label("state", &state), own.label("dnsSuffix", &c.DNSSuffix),
		own.label("aadAuthority", &c.AadAuthority), own.boolean("dev", &c.Dev), own.boolean("paused", &c.Paused),
	} {
		if read != nil {
			return read
		}
	}
	if c.Egress, err = domain.ParseEgress(egress); err != nil {
		return malformed(own.at("egress"), "cannot be used: %v", err)
	}
	if c.State = domain.CloudState(state); c.State != "" && c.State != domain.CloudUpdating && c.State != domain.CloudSucceeded {
		return malformed(own.at("state"), "must be %s or %s", domain.CloudUpdating, domain.CloudSucceeded)
	}
	if _, err := domain.ParseDestination(c.DNSSuffix + ":1"); err != nil && c.DNSSuffix != "" {
		return malformed(own.at("dnsSuffix"), "must be a domain such as sddc1.example.com")
	}
	if u, err := url.Parse(c.AadAuthority); c.AadAuthority != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
		return malformed(own.at("aadAuthority"), "must be an https address")
	}
	return nil
}

// suffix is the domain of a server's name.
func suffix(name string) string {
	_, domain, _ := strings.Cut(name, ".")
	return domain
}

func changeConnection(o object, c *domain.PrivateCloud) error {
	if err := knownInConnection(o); err != nil {
		return err
	}
	var conn connection
	if err := o.decode(&conn); err != nil {
		return err
	}
	name, err := domain.ParseServerName(conn.VCenter)
	if err != nil {
		return malformed(o.at("vcenter"), "is wrong: %v", err)
	}
	if err := conn.Normalize(); err != nil {
		return malformed(o.path, "cannot be used: %v", err)
	}
	c.VCenter, c.Connection = name, &conn.Connection
	return nil
}

// knownInConnection checks the names of all fields, and that credentials are references.
func knownInConnection(o object) error {
	if err := o.only("vcenter", "address", "ca", "thumbprint", "user", "password", "hosts"); err != nil {
		return err
	}
	if err := o.reference("password"); err != nil {
		return err
	}
	return o.array("hosts", func(path string, element json.RawMessage) error {
		host, err := asObject(path, element)
		if err != nil {
			return err
		}
		if err := host.only("name", "address", "user", "password", "key", "hostKey"); err != nil {
			return err
		}
		if err := host.reference("password"); err != nil {
			return err
		}
		return host.reference("key")
	})
}

func (o object) reference(name string) error {
	ref, given, err := o.optional(name)
	if err != nil || !given {
		return err
	}
	return ref.only("file", "environment", "secret")
}

// deleteCloud removes a private cloud with its records and secrets. It is done when it answers, and can be repeated.
func (s *Server) deleteCloud(a *answer, r *request) error {
	s.registering.Lock()
	defer s.registering.Unlock()
	if _, err := s.cfg.Store.RemovePrivateCloud(r.Context(), r.cloud); err != nil {
		return err
	}
	ctx := context.WithoutCancel(r.Context()) // a client that goes now does not keep the secrets alive
	if err := s.cfg.Secrets.RemoveCloud(ctx, r.cloud); err != nil {
		return err
	}
	a.WriteHeader(http.StatusNoContent)
	return nil
}

// checkCloud tests the logins of a private cloud.
func (s *Server) checkCloud(a *answer, r *request) error {
	c, err := s.cfg.Store.PrivateCloud(r.Context(), r.cloud)
	if err != nil {
		return err
	}
	report, err := s.cfg.Check(r.Context(), c)
	if err != nil {
		return err
	}
	report.Findings = append([]domain.Finding{}, report.Findings...)
	report.Hosts = append([]string{}, report.Hosts...)
	return a.send(http.StatusOK, report)
}

// maxSecret is the most bytes of a secret (secrets.MaxValue).
const maxSecret = 25_000

type secretResource struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Type string `json:"type"`
}

// putSecret keeps a credential to which the private cloud's connection refers. It cannot be read back.
func (s *Server) putSecret(a *answer, r *request) error {
	properties, err := r.readProperties(a)
	if err != nil {
		return err
	}
	value, _, err := properties.text("value")
	if err != nil {
		return err
	}
	if value == "" || len(value) > maxSecret {
		return malformed(properties.at("value"), "must have 1 to %d bytes", maxSecret)
	}
	c, err := s.setSecret(r, value)
	if err != nil {
		return err
	}
	name := r.vars["secret"]
	return a.send(http.StatusOK, secretResource{c.ID.String() + "/secrets/" + name, name, actCloud + "/secrets"})
}

func (s *Server) deleteSecret(a *answer, r *request) error {
	if _, err := s.setSecret(r, ""); err != nil {
		return err
	}
	a.WriteHeader(http.StatusNoContent)
	return nil
}

// setSecret stores a value; the empty one deletes. It returns whose it is.
func (s *Server) setSecret(r *request, value string) (c domain.PrivateCloud, err error) {
	s.registering.Lock()
	defer s.registering.Unlock()
	if c, err = s.parent(r); err != nil {
		return c, err
	}
	text := secret.New(value)
	return c, s.cfg.Secrets.Write(r.Context(), c.ID, domain.OwnSecrets, "", map[string]*secret.Text{r.vars["secret"]: &text})
}
