package server

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/manifest"
)

// Repository is the package repository as those see it who push versions and decide about them. A version is named
// Name@1.2.3; whether somebody may decide about one that he has pushed himself is the repository's to say.
type Repository interface {
	Versions(ctx context.Context, name string) ([]domain.Package, error) // with "" of all packages
	Version(ctx context.Context, ref string) (domain.Package, error)
	Approve(ctx context.Context, ref string, by domain.Principal, acknowledged []string) (domain.Package, error)
	Reject(ctx context.Context, ref string, by domain.Principal, reason string) (domain.Package, error)
	Deprecate(ctx context.Context, ref string, by domain.Principal, reason string) (domain.Package, error)
	Promote(ctx context.Context, ref string, by domain.Principal) (domain.Package, error)
	Content(digest string) (io.ReadSeekCloser, error) // of the .nupkg
}

// versionProperties are what is known of a version. Cmdlets and Findings are left out of lists.
type versionProperties struct {
	PackageName  string                 `json:"packageName"`
	Version      string                 `json:"version"`
	Ring         string                 `json:"ring"` // general, preview or dev
	State        domain.ReviewState     `json:"state"`
	Library      bool                   `json:"library"`
	Description  string                 `json:"description"`
	Company      string                 `json:"company,omitempty"`
	URI          string                 `json:"uri,omitempty"`
	SHA256       string                 `json:"sha256"`
	Size         int64                  `json:"size"` // in bytes
	PushedAt     time.Time              `json:"pushedAt"`
	PushedBy     string                 `json:"pushedBy,omitempty"` // "" for what the server was started with
	Promotes     string                 `json:"promotes,omitempty"` // the version with a label whose files these are
	FindingCount findingCount           `json:"findingCount"`
	Acknowledge  []string               `json:"acknowledge"` // the rules that an approval has to acknowledge
	Review       *reviewProperties      `json:"review,omitempty"`
	Dependencies []dependency           `json:"dependencies"`
	Lock         []pin                  `json:"lock"`
	Findings     []domain.ReviewFinding `json:"findings,omitzero"`
	Cmdlets      []manifest.Cmdlet      `json:"cmdlets,omitzero"` // as airlock.json has them
}

type findingCount struct {
	Errors   int `json:"errors"`
	Warnings int `json:"warnings"`
	Notes    int `json:"notes"`
}

type reviewProperties struct {
	By           string    `json:"by,omitempty"` // "" for the server itself
	At           time.Time `json:"at"`
	Reason       string    `json:"reason,omitempty"`
	Acknowledged []string  `json:"acknowledged,omitempty"`
}

type dependency struct {
	Name  string `json:"name"`
	Range string `json:"range,omitempty"`
}

type pin struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
}

// ring is the ring of a version that the repository has taken.
func ring(version string) string {
	_, label, _ := strings.Cut(version, "-")
	for _, ring := range []string{"dev", "preview"} {
		if strings.HasPrefix(label, ring) {
			return ring
		}
	}
	return "general"
}

// versionPath is the path of a version, which is its id.
func versionPath(p domain.Package) string { return ownPackages + "/" + url.PathEscape(p.Ref()) }

func versionResource(p domain.Package, whole bool) resource[versionProperties] {
	v := versionProperties{
		PackageName: p.Name, Version: p.Version, Ring: ring(p.Version), State: p.Review.State, Library: p.Library,
		Description: p.Manifest.Description, Company: p.Manifest.Company, URI: p.Manifest.ProjectURI,
		SHA256: p.Digest, Size: p.Size, PushedAt: p.Pushed.UTC(), PushedBy: p.PushedBy.ID, Promotes: p.Promotes,
		Acknowledge: append([]string{}, p.Errors()...), Dependencies: []dependency{}, Lock: []pin{},
	}
	if p.Review.State != domain.Submitted {
		v.Review = &reviewProperties{p.Review.By.ID, p.Review.Time.UTC(), p.Review.Reason, p.Review.Acknowledged}
	}
	for _, d := range p.Spec.Dependencies {
		v.Dependencies = append(v.Dependencies, dependency{d.ID, d.Range})
	}
	for _, needed := range p.Lock {
		v.Lock = append(v.Lock, pin{needed.Name, needed.Version, needed.Digest})
	}
	for _, f := range p.Findings {
		switch f.Severity {
		case domain.SeverityError:
			v.FindingCount.Errors++
		case domain.SeverityWarning:
			v.FindingCount.Warnings++
		default:
			v.FindingCount.Notes++
		}
	}
	if whole {
		v.Findings, v.Cmdlets = append([]domain.ReviewFinding{}, p.Findings...), append([]manifest.Cmdlet{}, p.Manifest.Cmdlets...)
	}
	return resource[versionProperties]{ID: versionPath(p), Name: p.Ref(), Type: ownProvider + "/packages", Properties: v}
}

// listVersions has all versions of all packages, or those of a name or in a state.
func (s *Server) listVersions(a *answer, r *request) error {
	conditions, err := r.filter("name", "state")
	if err != nil {
		return err
	}
	states := []domain.ReviewState{domain.Submitted, domain.Approved, domain.Rejected, domain.Deprecated}
	if _, given := conditions["state"]; given && !slices.ContainsFunc(states, func(s domain.ReviewState) bool { return meets(conditions, "state", string(s)) }) {
		return errors.Newf(errors.InvalidRequest, "There is no state %.60q; there are %s, %s, %s and %s.", conditions["state"], states[0], states[1], states[2], states[3]).At("$filter")
	}
	versions, err := s.cfg.Repository.Versions(r.Context(), conditions["name"])
	if err != nil {
		return err
	}
	out := list[resource[versionProperties]]{Value: []resource[versionProperties]{}}
	for _, p := range versions {
		if meets(conditions, "state", string(p.Review.State)) {
			out.Value = append(out.Value, versionResource(p, false))
		}
	}
	return a.send(http.StatusOK, out)
}

func (s *Server) getVersion(a *answer, r *request) error {
	p, err := s.cfg.Repository.Version(r.Context(), r.vars["scriptPackage"])
	if err != nil {
		return err
	}
	return a.send(http.StatusOK, versionResource(p, true))
}

// getVersionContent answers the .nupkg of a version, which who is to review it reads before the feed has it.
func (s *Server) getVersionContent(a *answer, r *request) error {
	p, err := s.cfg.Repository.Version(r.Context(), r.vars["scriptPackage"])
	if err != nil {
		return err
	}
	content, err := s.cfg.Repository.Content(p.Digest)
	if err != nil {
		return err
	}
	defer content.Close()
	a.Header().Set("Content-Type", "application/octet-stream")
	a.Header().Set("ETag", `"`+p.Digest+`"`)
	return s.giveOut(func() error {
		http.ServeContent(a, r.Request, "", time.Time{}, content)
		return nil
	})
}

// approvePackage approves a version with the errors that the body acknowledges by their rules.
func (s *Server) approvePackage(a *answer, r *request) error {
	body, err := r.readOptional(a)
	if err == nil {
		err = body.only("acknowledged")
	}
	if err != nil {
		return err
	}
	var acknowledged []string
	err = body.array("acknowledged", func(path string, element json.RawMessage) error {
		var rule string
		if json.Unmarshal(element, &rule) != nil || rule == "" {
			return malformed(path, "must be the id of a rule, not %s", kindOf(element))
		}
		acknowledged = append(acknowledged, rule)
		return nil
	})
	if err != nil {
		return err
	}
	p, err := s.cfg.Repository.Approve(r.Context(), r.vars["scriptPackage"], r.identity.Principal, acknowledged)
	said := ""
	if len(p.Review.Acknowledged) > 0 {
		said = "acknowledged " + strings.Join(p.Review.Acknowledged, " ")
	}
	return a.decided(r, p, said, err)
}

func (s *Server) rejectPackage(a *answer, r *request) error {
	return a.dismiss(r, s.cfg.Repository.Reject)
}

func (s *Server) deprecatePackage(a *answer, r *request) error {
	return a.dismiss(r, s.cfg.Repository.Deprecate)
}

// dismiss takes a decision that has a reason.
func (a *answer) dismiss(r *request, decide func(ctx context.Context, ref string, by domain.Principal, reason string) (domain.Package, error)) error {
	body, err := r.readObject(a)
	if err == nil {
		err = body.only("reason")
	}
	if err != nil {
		return err
	}
	reason, _, err := body.text("reason")
	if err != nil {
		return err
	}
	p, err := decide(r.Context(), r.vars["scriptPackage"], r.identity.Principal, reason)
	return a.decided(r, p, "reason: "+p.Review.Reason, err)
}

func (s *Server) promotePackage(a *answer, r *request) error {
	p, err := s.cfg.Repository.Promote(r.Context(), r.vars["scriptPackage"], r.identity.Principal)
	return a.decided(r, p, "", err)
}

// decided answers with the version as it is now. The audit has what it is, and what was said of it.
func (a *answer) decided(r *request, p domain.Package, said string, err error) error {
	if err != nil {
		return err
	}
	r.detail = p.Ref() + " sha256:" + p.Digest
	if said != "" {
		r.detail += ", " + said
	}
	return a.send(http.StatusOK, versionResource(p, true))
}
