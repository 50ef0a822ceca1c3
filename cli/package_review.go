package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/manifest"
)

const versions = "/providers/Airlock/packages"

// versionProperties are what the server says of a version.
type versionProperties struct {
	Version, Ring, State, SHA256, PushedBy, Promotes string
	Description, Company, URI                        string
	Library                                          bool
	PushedAt                                         time.Time
	FindingCount                                     findingCount
	Acknowledge                                      []string
	Review                                           *struct {
		By, Reason   string
		At           time.Time
		Acknowledged []string
	}
	Dependencies []struct{ Name, Range string }
	Lock         []struct{ Name, Version string }
	Findings     []domain.ReviewFinding
	Cmdlets      []manifest.Cmdlet
}

type findingCount struct{ Errors, Warnings, Notes int }

func (c findingCount) String() string {
	return fmt.Sprintf("errors: %d, warnings: %d, notes: %d", c.Errors, c.Warnings, c.Notes)
}

// next is what is to be done so that a version runs.
func (p versionProperties) next(ref string) string {
	switch {
	case p.State != string(domain.Submitted):
		return ""
	case p.Library:
		return "it is approved with the first version that needs it"
	case p.Ring == "dev":
		return "it runs where a private cloud has the flag dev"
	case len(p.Acknowledge) > 0:
		return "somebody else: airlock package review approve " + ref + " --acknowledge " + strings.Join(p.Acknowledge, ",")
	}
	return "somebody else: airlock package review approve " + ref
}

// whose is a principal for people; "" is the server, of what it was started with.
func whose(id string) string {
	if id == "" {
		return "(the server)"
	}
	return id
}

// versionPath is the path of a version.
func versionPath(ref string) (string, error) {
	if _, version, ok := strings.Cut(ref, "@"); !ok || !domain.ValidPackageRef(ref) || strings.Contains(version, "*") {
		return "", errors.Newf(errors.Usage, "The version must be named as Name@1.2.3, not %.140q; `airlock package list` shows which there are.", ref)
	}
	return versions + "/" + ref, nil
}

// onVersion asks something of a version and shows what it is then.
func (a *app) onVersion(ctx context.Context, ref, method, action string, body any) error {
	path, err := versionPath(ref)
	if err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	var r resource
	if _, err := c.do(ctx, method, path+action, body, &r); err != nil {
		return err
	}
	return a.printVersion(r)
}

func (a *app) packageList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list [NAME]",
		Short: "List the versions of all packages, or of one, whatever their ring and state",
		Args:  cobra.MaximumNArgs(1),
	}
	state := cmd.Flags().String("state", "", "only those in this state: Submitted, Approved, Rejected or Deprecated")
	cmd.RunE = does(func(ctx context.Context, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		var conditions []string
		for _, condition := range [][2]string{{"state", *state}, {"name", strings.Join(args, "")}} {
			if condition[1] != "" {
				conditions = append(conditions, condition[0]+" eq '"+strings.ReplaceAll(condition[1], "'", "''")+"'")
			}
		}
		all, err := c.list(ctx, versions+"?$filter="+url.QueryEscape(strings.Join(conditions, " and ")))
		if err != nil {
			return err
		}
		return a.printVersions(all)
	})
	return cmd
}

func (a *app) printVersions(all []resource) error {
	return a.printResources(all, []string{"PACKAGE", "RING", "STATE", "ERRORS", "WARNINGS", "PUSHED", "BY"}, func(r resource) ([]string, error) {
		var p versionProperties
		err := json.Unmarshal(r.Properties, &p)
		ring := p.Ring
		if p.Library {
			ring = "library"
		}
		return []string{r.Name, ring, p.State, fmt.Sprint(p.FindingCount.Errors), fmt.Sprint(p.FindingCount.Warnings), p.PushedAt.Local().Format(time.DateTime), whose(p.PushedBy)}, err
	})
}

func (a *app) packageReview() *cobra.Command {
	return group("review", "Reviews of versions, by somebody other than who pushed them", a.reviewShow(), a.reviewDownload(), a.reviewApprove(), a.reviewReject())
}

func (a *app) reviewShow() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show NAME@VERSION",
		Short: "Show a version with what was found in it, what it declares and what it depends on",
		Args:  cobra.ExactArgs(1),
	}
	cmd.RunE = does(func(ctx context.Context, args []string) error {
		_, _, r, err := a.version(ctx, args[0])
		if err != nil {
			return err
		}
		if a.output == "json" {
			return a.printJSON(r)
		}
		return a.printReviewed(r)
	})
	return cmd
}

// version gets a version of a package, with its path and the client that got it.
func (a *app) version(ctx context.Context, ref string) (c *client, path string, r resource, err error) {
	if path, err = versionPath(ref); err != nil {
		return nil, "", r, err
	}
	if c, err = a.client(); err != nil {
		return nil, "", r, err
	}
	_, err = c.do(ctx, http.MethodGet, path, nil, &r)
	return c, path, r, err
}

// printReviewed shows all of a version to who is to decide about it.
func (a *app) printReviewed(r resource) error {
	var p versionProperties
	if err := json.Unmarshal(r.Properties, &p); err != nil {
		return err
	}
	pairs := []string{
		"package", r.Name, "ring", p.Ring, "state", p.State, "pushed", p.PushedAt.Local().Format(time.DateTime) + " by " + whose(p.PushedBy), "promotes", p.Promotes,
		"description", p.Description, "company", p.Company, "uri", p.URI, "sha256", p.SHA256,
	}
	if review := p.Review; review != nil {
		pairs = append(pairs, "decided", review.At.Local().Format(time.DateTime)+" by "+whose(review.By), "reason", review.Reason, "acknowledged", strings.Join(review.Acknowledged, ", "))
	}
	for _, d := range p.Dependencies {
		pairs = append(pairs, "needs", strings.TrimSpace(d.Name+" "+d.Range))
	}
	for _, pin := range p.Lock {
		pairs = append(pairs, "runs with", pin.Name+"@"+pin.Version)
	}
	for _, cmdlet := range p.Cmdlets {
		pairs = append(pairs, "cmdlet", declared(cmdlet))
	}
	if err := a.printPairs(append(pairs, "findings", p.FindingCount.String(), "next", p.next(r.Name))...); err != nil {
		return err
	}
	for _, f := range p.Findings {
		if err := a.printFinding(f); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) reviewDownload() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "download NAME@VERSION",
		Short: "Get the .nupkg of a version, whatever its state, to read it",
		Args:  cobra.ExactArgs(1),
	}
	out := cmd.Flags().String("out", ".", "directory for the .nupkg")
	cmd.RunE = does(func(ctx context.Context, args []string) error {
		c, path, r, err := a.version(ctx, args[0])
		if err != nil {
			return err
		}
		var p versionProperties
		if err := json.Unmarshal(r.Properties, &p); err != nil {
			return err
		}
		file := filepath.Join(*out, strings.Replace(filepath.Base(r.Name), "@", ".", 1)+".nupkg")
		if err := c.download(ctx, path+"/content", file, p.SHA256); err != nil {
			return err
		}
		if a.output == "json" {
			return a.printJSON(map[string]string{"name": r.Name, "path": file, "sha256": p.SHA256})
		}
		return a.printPairs("package", r.Name, "path", file, "sha256", p.SHA256)
	})
	return cmd
}

// download writes what is at target into a file, if it has the digest.
func (c *client) download(ctx context.Context, target, file, digest string) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".tmp-*")
	if err != nil {
		return errors.Because(err, errors.Usage, "--out: %v.", err)
	}
	defer os.Remove(f.Name()) // after the rename there is nothing left to remove
	defer f.Close()
	h := sha256.New()
	if _, err := c.do(ctx, http.MethodGet, target, nil, io.MultiWriter(f, h)); err != nil {
		return err
	}
	if hex.EncodeToString(h.Sum(nil)) != digest {
		return errors.Newf(errors.ServerUnreachable, "What came is not the package with the digest %s: try again.", digest)
	}
	if err := errors.Join(f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

// declared is a cmdlet with its parameters as PowerShell's help writes them: [-Optional Type].
func declared(c manifest.Cmdlet) string {
	text := c.Name
	for _, p := range c.Parameters {
		one := fmt.Sprintf("-%s %s", p.Name, p.Type)
		if !p.Required {
			one = "[" + one + "]"
		}
		text += " " + one
	}
	for _, mark := range []struct {
		is   bool
		name string
	}{{c.UpdatesSDDC, "updates the private cloud"}, {c.AutomationOnly, "for automation only"}, {c.Lifecycle != "", string(c.Lifecycle)}} {
		if mark.is {
			text += ", " + mark.name
		}
	}
	return text
}

func (a *app) reviewApprove() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "approve NAME@VERSION",
		Short: "Let a version run, with the dependencies that it is found to have now",
		Args:  cobra.ExactArgs(1),
	}
	acknowledged := cmd.Flags().StringSlice("acknowledge", nil, "rules whose errors were found, each of which must be named, as review show has them")
	cmd.RunE = does(func(ctx context.Context, args []string) error {
		return a.onVersion(ctx, args[0], http.MethodPost, "/approve", map[string][]string{"acknowledged": append([]string{}, *acknowledged...)})
	})
	return cmd
}

func (a *app) reviewReject() *cobra.Command {
	return a.dismissal("reject NAME@VERSION", "/reject", "Keep a version from running, also one that was approved, and tell why",
		"what is wrong, in a sentence for who pushed it")
}

func (a *app) packageDeprecate() *cobra.Command {
	return a.dismissal("deprecate NAME@VERSION", "/deprecate", "Let an approved version run only where it is asked for by exactly this version",
		"what to use instead, in a sentence for who asks for it")
}

// dismissal is a command that decides with a reason.
func (a *app) dismissal(use, action, short, why string) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(1)}
	reason := cmd.Flags().String("reason", "", why)
	_ = cmd.MarkFlagRequired("reason")
	cmd.RunE = does(func(ctx context.Context, args []string) error {
		return a.onVersion(ctx, args[0], http.MethodPost, action, map[string]string{"reason": *reason})
	})
	return cmd
}
