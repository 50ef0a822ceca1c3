package server

import (
	"cmp"
	"net/http"
)

const (
	metadataPath = "/.well-known/oauth-protected-resource"
	discovery    = "/.well-known/openid-configuration"
)

// getResourceMetadata says which issuers' tokens are taken (RFC 9728).
func (s *Server) getResourceMetadata(a *answer, _ *request) error {
	servers := []string{s.cfg.URL}
	for _, i := range s.cfg.Issuers {
		servers = append(servers, i.Authority())
	}
	return a.send(http.StatusOK, map[string]any{
		"resource": s.cfg.URL, "authorization_servers": servers, "bearer_methods_supported": []string{"header"},
		"scopes_supported": []string{s.cfg.URL + "/.default"}, "resource_name": "Airlock",
	})
}

// getDiscovery describes the token endpoint to clients of AD FS, of Entra and of plain OpenID Connect.
func (s *Server) getDiscovery(a *answer, r *request) error {
	return a.send(http.StatusOK, s.issuer.Discovery(cmp.Or(r.vars["tenant"], tenant)))
}

// getTenant describes the same endpoint to az, which reads one thing of it: the name of the tenant, for which it takes the
// first segment of the issuer's path.
func (s *Server) getTenant(a *answer, _ *request) error {
	d := s.issuer.Discovery(tenant)
	d["issuer"] = s.cfg.URL + "/" + tenant
	return a.send(http.StatusOK, d)
}

// getSigningKeys answers the key set (RFC 7517) of Airlock's own tokens.
func (s *Server) getSigningKeys(a *answer, r *request) error {
	keys, err := s.issuer.Keys(r.Context())
	if err != nil {
		return err
	}
	return a.send(http.StatusOK, map[string]any{"keys": keys})
}

// maxForm is the most bytes of a form: the scopes and claims of clients are far less.
const maxForm = 16 << 10

// readForm reads a form. Anybody may send one, as slowly as readBody lets him: that takes no place from others.
func (s *Server) readForm(a *answer, r *request) ([]byte, error) {
	<-s.public
	defer func() { s.public <- struct{}{} }()
	return r.readBody(a, maxForm)
}

// postToken gives a token. Its errors have the form of RFC 6749, not ARM's.
func (s *Server) postToken(a *answer, r *request) error {
	form, err := s.readForm(a, r)
	if err != nil {
		return err
	}
	given, err := s.issuer.Token(r.Context(), r.Request, form)
	if err != nil {
		return err
	}
	for name, values := range given.Header {
		a.Header()[name] = values
	}
	a.Header().Set("Pragma", "no-cache") // beside Cache-Control, for clients of RFC 6749, section 5.1
	if given.Cause != "" {
		s.cfg.Logger.Info("token refused", "id", r.id, "from", r.RemoteAddr, "cause", given.Cause)
	} else {
		r.identity.Name, r.identity.Principal = given.Client.Name, given.Client.Principal()
	}
	return a.send(given.Status, given.Body)
}
