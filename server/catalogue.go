package server

import (
	"net/http"
	"path"
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// parent is the private cloud in whose id the request's path goes on.
func (s *Server) parent(r *request) (domain.PrivateCloud, error) {
	cloud, err := s.cfg.Store.PrivateCloud(r.Context(), r.cloud)
	if errors.Has(err, errors.ResourceNotFound) {
		return cloud, errors.Newf(errors.ParentResourceNotFound, "There is no private cloud %s in the resource group %s of the subscription %s; list those that there are.",
			r.cloud.Name, r.cloud.ResourceGroup, r.cloud.Subscription)
	}
	return cloud, err
}

// cmdletNames lists what the package has, for an error that says what would have been right.
func cmdletNames(p domain.Package) string {
	names := make([]string, 0, len(p.Manifest.Cmdlets))
	for _, c := range p.Manifest.Cmdlets {
		names = append(names, c.Name)
	}
	return strings.Join(names, ", ")
}

type operation struct {
	Name         string           `json:"name"`
	IsDataAction bool             `json:"isDataAction"`
	Origin       string           `json:"origin"`
	Display      operationDisplay `json:"display"`
}

type operationDisplay struct {
	Provider    string `json:"provider"`
	Resource    string `json:"resource"`
	Operation   string `json:"operation"`
	Description string `json:"description"`
}

func (s *Server) listOperations(a *answer, _ *request) error {
	out := list[operation]{Value: []operation{}}
	for _, route := range s.routes {
		if route.display != "" {
			out.Value = append(out.Value, operation{
				Name: route.action, Origin: "user,system",
				Display: operationDisplay{provider, strings.TrimPrefix(path.Dir(strings.TrimSuffix(route.action, "/action")), provider+"/"), route.display, route.display + "."},
			})
		}
	}
	return a.send(http.StatusOK, out)
}

func (s *Server) listClouds(a *answer, r *request) error {
	clouds, err := s.readable(r, r.cloud.Subscription, r.cloud.ResourceGroup)
	if err != nil {
		return err
	}
	out := list[privateCloud]{Value: []privateCloud{}}
	for _, c := range clouds {
		out.Value = append(out.Value, r.cloudResource(c))
	}
	return a.send(http.StatusOK, out)
}

func (s *Server) getCloud(a *answer, r *request) error {
	cloud, err := s.cfg.Store.PrivateCloud(r.Context(), r.cloud)
	if err != nil {
		return err
	}
	return a.send(http.StatusOK, r.cloudResource(cloud))
}

// listPackages has the highest versions, or with allVersions=true (ours) all of them.
func (s *Server) listPackages(a *answer, r *request) error {
	cloud, err := s.parent(r)
	if err != nil {
		return err
	}
	packages, err := s.cfg.Packages.List(r.Context(), cloud, r.URL.Query().Get("allVersions") == "true")
	if err != nil {
		return err
	}
	out := list[resource[packageProperties]]{Value: []resource[packageProperties]{}}
	for _, p := range packages {
		out.Value = append(out.Value, r.packageResource(cloud.ID, p))
	}
	return a.send(http.StatusOK, out)
}

func (s *Server) getPackage(a *answer, r *request) error {
	cloud, err := s.parent(r)
	if err != nil {
		return err
	}
	p, err := s.cfg.Packages.Resolve(r.Context(), cloud, r.vars["scriptPackage"])
	if err != nil {
		return err
	}
	return a.send(http.StatusOK, r.packageResource(cloud.ID, p))
}

// parentPackage is the private cloud and the package in whose id the request's path goes on.
func (s *Server) parentPackage(r *request) (domain.PrivateCloud, domain.Package, error) {
	cloud, err := s.parent(r)
	if err != nil {
		return cloud, domain.Package{}, err
	}
	p, err := s.cfg.Packages.Resolve(r.Context(), cloud, r.vars["scriptPackage"])
	if errors.Has(err, errors.ResourceNotFound) {
		err = errors.Because(err, errors.ParentResourceNotFound, "%s", errors.For(err, r.id).Message)
	}
	return cloud, p, err
}

func (s *Server) listCmdlets(a *answer, r *request) error {
	cloud, p, err := s.parentPackage(r)
	if err != nil {
		return err
	}
	out := list[resource[cmdletProperties]]{Value: []resource[cmdletProperties]{}}
	for _, c := range p.Manifest.Cmdlets {
		out.Value = append(out.Value, r.cmdletResource(cloud.ID, p, c))
	}
	return a.send(http.StatusOK, out)
}

func (s *Server) getCmdlet(a *answer, r *request) error {
	cloud, p, err := s.parentPackage(r)
	if err != nil {
		return err
	}
	c, ok := p.Manifest.Cmdlet(r.vars["scriptCmdlet"])
	if !ok {
		return noCmdlet(p, r.vars["scriptCmdlet"])
	}
	return a.send(http.StatusOK, r.cmdletResource(cloud.ID, p, c))
}

func noCmdlet(p domain.Package, name string) *errors.Error {
	return errors.Newf(errors.ResourceNotFound, "The package %s has no cmdlet %s; it has %s.", p.Ref(), name, cmdletNames(p))
}
