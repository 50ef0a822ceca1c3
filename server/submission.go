package server

import (
	"cmp"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/iso8601"
	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/airlock-run/airlock/sdk/secret"
)

// Limits of what a PUT may ask for. Public samples ask for 60 min 60 s, which is read as one hour.
const (
	minTimeout       = time.Second
	maxTimeoutText   = manifest.MaxTimeout + time.Minute
	minRetention     = time.Minute
	maxRetention     = 365 * 24 * time.Hour
	defaultRetention = 60 * 24 * time.Hour
)

// submission is the body of a PUT as it was written: checked by itself, not yet against a cmdlet's declaration.
type submission struct {
	cmdletID  string
	ref       cmdletRef
	timeout   time.Duration // 0: the cmdlet's
	retention time.Duration
	given     []given
}

// cmdletRef is what a scriptCmdletId names. The package's part may be a pattern.
type cmdletRef struct {
	cloud  domain.CloudID
	pkg    string
	cmdlet string
}

// given is one parameter of a PUT.
type given struct {
	path     string // its place in the body
	name     string
	kind     string // the discriminator: Value, SecureValue or Credential
	hidden   bool   // came in hiddenParameters
	value    *string
	username *string
	secret   *secret.Text // secureValue or password
}

// The discriminators of an execution parameter.
const (
	kindValue      = "Value"
	kindSecure     = "SecureValue"
	kindCredential = "Credential"
)

func discriminator(t manifest.Type) string {
	switch t {
	case manifest.SecureString:
		return kindSecure
	case manifest.Credential:
		return kindCredential
	}
	return kindValue
}

// parseSubmission reads the body of a PUT. Properties that are the server's to say, and unknown ones, are ignored.
func parseSubmission(body object) (submission, error) {
	var sub submission
	properties, err := body.object("properties")
	if err != nil {
		return sub, err
	}
	if sub.cmdletID, _, err = properties.text("scriptCmdletId"); err != nil {
		return sub, err
	}
	if sub.ref, err = parseCmdletID(sub.cmdletID); err != nil {
		return sub, err
	}
	if sub.timeout, err = parseTimeout(properties); err != nil {
		return sub, err
	}
	if sub.retention, err = parseRetention(properties); err != nil {
		return sub, err
	}
	for _, array := range []string{"parameters", "hiddenParameters"} {
		err := properties.array(array, func(path string, element json.RawMessage) error {
			g, err := parseGiven(path, element)
			g.hidden = array == "hiddenParameters"
			sub.given = append(sub.given, g)
			return err
		})
		if err != nil {
			return sub, err
		}
	}
	return sub, nil
}

var cmdletIDForm = regexp.MustCompile(`(?i)^(/.*)/scriptPackages/([^/]+)/scriptCmdlets/([^/]+)$`)

func parseCmdletID(id string) (ref cmdletRef, err error) {
	if plain, err := url.PathUnescape(id); err == nil { // a client may write @ as %40 here too
		id = plain
	}
	if m := cmdletIDForm.FindStringSubmatch(id); m != nil {
		ref.pkg, ref.cmdlet = m[2], m[3]
		if ref.cloud, err = domain.ParseCloudID(m[1]); err == nil && domain.ValidPackageRef(ref.pkg) && domain.ValidName(ref.cmdlet) {
			return ref, nil
		}
	}
	return ref, errors.Newf(errors.InvalidParameter,
		"properties.scriptCmdletId must be the full id of a script cmdlet: /subscriptions/…/privateClouds/…/scriptPackages/Name@1.2.3/scriptCmdlets/Verb-Noun.").
		At("properties.scriptCmdletId")
}

func parseTimeout(properties object) (time.Duration, error) {
	text, there, err := properties.text("timeout")
	if err != nil || !there {
		return 0, err
	}
	d, err := iso8601.Parse(text)
	switch {
	case err != nil:
		err = errors.Because(err, errors.InvalidTimeout, "The timeout %.60q is not an ISO 8601 duration; write one such as PT30M.", text).At("properties.timeout")
	case d < minTimeout:
		err = errors.Newf(errors.InvalidTimeout, "The timeout %.60q is too short; the least is one second, PT1S.", text).At("properties.timeout")
	case d > maxTimeoutText:
		err = errors.Newf(errors.InvalidTimeout, "The timeout %.60q is too long; the most is one hour, PT1H.", text).At("properties.timeout")
	}
	return min(d, manifest.MaxTimeout), err
}

func parseRetention(properties object) (time.Duration, error) {
	text, there, err := properties.text("retention")
	if err != nil || !there {
		return defaultRetention, err
	}
	d, err := iso8601.Parse(text)
	switch {
	case err != nil:
		return 0, errors.Because(err, errors.InvalidRequestContent, "The retention %.60q is not an ISO 8601 duration; write one such as P60D.", text).At("properties.retention")
	case d < minRetention || d > maxRetention:
		return 0, errors.Newf(errors.InvalidRequestContent, "The retention %.60q is out of bounds; it must be from one minute, PT1M, to a year, P365D.", text).At("properties.retention")
	}
	return d, nil
}

func parseGiven(path string, element json.RawMessage) (g given, err error) {
	o, err := asObject(path, element)
	if err != nil {
		return g, err
	}
	g.path = path
	var there bool
	if g.name, there, err = o.text("name"); err != nil {
		return g, err
	}
	if !there || g.name == "" {
		return g, malformed(o.at("name"), "is missing")
	}
	if g.kind, _, err = o.text("type"); err != nil {
		return g, err
	}
	var password, secure *string
	for name, into := range map[string]**string{"value": &g.value, "secureValue": &secure, "username": &g.username, "password": &password} {
		text, there, err := o.text(name)
		if err != nil {
			return g, err
		}
		if there {
			*into = &text
		}
	}
	plain := secure
	switch {
	case strings.EqualFold(g.kind, kindValue):
		g.kind = kindValue
		return g, nil
	case strings.EqualFold(g.kind, kindSecure):
		g.kind = kindSecure
	case strings.EqualFold(g.kind, kindCredential):
		g.kind, plain = kindCredential, password
	default:
		return g, malformed(o.at("type"), "must be %s, %s or %s", kindValue, kindSecure, kindCredential)
	}
	if plain != nil {
		text := secret.New(*plain)
		g.secret = &text
	}
	return g, nil
}

// normalised is what two bodies that mean the same have in common: all that the sender decided, in one order and
// case. It holds secrets, and only ever goes into a keyed digest. What the reference resolves to is not in it: the same
// body stays the same when a new version of the package is published.
func (sub submission) normalised() []byte {
	type parameter struct {
		Name, Kind                string
		Hidden                    bool
		Value, Username, Password *string
	}
	form := struct {
		Version            int
		CmdletID           string
		Timeout, Retention time.Duration
		Parameters         []parameter
	}{1, strings.ToLower(cmdletID(sub.ref.cloud, sub.ref.pkg, sub.ref.cmdlet)), sub.timeout, sub.retention, nil}
	for _, g := range sub.given {
		p := parameter{strings.ToLower(g.name), g.kind, g.hidden, g.value, g.username, nil}
		if g.secret != nil {
			plain := g.secret.Reveal()
			p.Password = &plain
		}
		form.Parameters = append(form.Parameters, p)
	}
	slices.SortStableFunc(form.Parameters, func(a, b parameter) int { return cmp.Compare(a.Name, b.Name) })
	data, err := json.Marshal(form)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return data
}
