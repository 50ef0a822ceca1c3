package review

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"deps.dev/util/semver"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/packages/internal/powershell"
	"github.com/airlock-run/airlock/sdk/manifest"
)

// Management is the module that packages of Azure VMware Solution stand on.
const Management = "Microsoft.AVS.Management"

// checkPackage applies the rules on a package as a whole. home is its manifest, at says where a cmdlet is.
func (r *report) checkPackage(s Subject, k Known, home powershell.Place, at func(cmdlet string) powershell.Place) {
	m := s.Manifest
	numbers, _, _ := strings.Cut(m.Version, "-")
	if strings.Count(numbers, ".") != 2 {
		r.add(packageVersion, home, "%s is not a semantic version, on which people who ask for 1.* count: use three numbers.", m.Version)
	}
	if s.Spec.ProjectURL == "" {
		r.add(projectURI, home, "Operators find no web page about this package: set its ProjectUri.")
	}
	if missing := missingKinds(m); len(missing) > 0 {
		r.add(lifecycleMissing, home, "No cmdlet is there for %s: operators will look for them.", strings.Join(missing, ", "))
	}
	if k.Previous != nil && !newMajor(k.Previous.Version, m.Version) {
		r.checkInterface(*k.Previous, m, home, at)
	}
}

// checkDeclarations applies the rules on cmdlets that hold for each kind of package.
func (r *report) checkDeclarations(m manifest.Manifest, at func(cmdlet string) powershell.Place) {
	for _, c := range m.Cmdlets {
		verb, _, named := strings.Cut(c.Name, "-")
		switch {
		case slices.Contains(kinds, manifest.Lifecycle(c.Name)):
		case named && !approved[strings.ToLower(verb)]:
			r.add(cmdletVerb, at(c.Name), "%s is no verb that PowerShell approves, so that nobody looks for %s: take the nearest of Get-Verb.", verb, c.Name)
		}
		if c.Description == "" {
			r.add(cmdletHelp, at(c.Name), "Operators cannot read what %s does: describe it.", c.Name)
		}
		var silent []string
		for _, p := range c.Parameters {
			if p.Description == "" {
				silent = append(silent, p.Name)
			}
		}
		if len(silent) > 0 {
			r.add(parameterHelp, at(c.Name), "Operators cannot read what to give %s as %s: describe them.", c.Name, strings.Join(silent, ", "))
		}
	}
}

// kinds are all kinds of lifecycle cmdlets, in the order of a product's life.
var kinds = []manifest.Lifecycle{
	manifest.PreflightInstall, manifest.Install, manifest.PreflightUpgrade, manifest.Upgrade,
	manifest.RotateCredentials, manifest.PreflightUninstall, manifest.Uninstall, manifest.Diagnostics,
}

func missingKinds(m manifest.Manifest) []string {
	there := map[manifest.Lifecycle]bool{}
	for _, c := range m.Cmdlets {
		there[kindOf(c, m.Runtime == manifest.Go)] = true
	}
	var missing []string
	for _, kind := range kinds {
		if !there[kind] {
			missing = append(missing, string(kind))
		}
	}
	return missing
}

// kindOf is the kind that a cmdlet declares, or has by its name. PowerShell has nothing to declare it with.
func kindOf(c manifest.Cmdlet, declares bool) manifest.Lifecycle {
	name := strings.ToLower(c.Name)
	verb, noun, _ := strings.Cut(name, "-")
	switch {
	case c.Lifecycle != "":
		return c.Lifecycle
	case slices.Contains(kinds, manifest.Lifecycle(name)):
		return manifest.Lifecycle(name)
	case declares:
		return ""
	case verb == "install":
		return manifest.Install
	case verb == "update":
		return manifest.Upgrade
	case verb == "uninstall":
		return manifest.Uninstall
	case verb == "test" && strings.HasSuffix(noun, "uninstall"):
		return manifest.PreflightUninstall
	case verb == "test" && strings.HasSuffix(noun, "install"):
		return manifest.PreflightInstall
	case verb == "test" && strings.HasSuffix(noun, "update"):
		return manifest.PreflightUpgrade
	case (verb == "reset" || verb == "set") && (strings.Contains(noun, "credential") || strings.Contains(noun, "password")):
		return manifest.RotateCredentials
	case strings.Contains(noun, "diagnostic"):
		return manifest.Diagnostics
	}
	return ""
}

// newMajor says whether a version may break what worked with the one before. Major version zero may always
// (semver.org, 4).
func newMajor(before, now string) bool {
	major := func(version string) int {
		first, _, _ := strings.Cut(version, ".")
		n, err := strconv.Atoi(first)
		if err != nil {
			return 0
		}
		return n
	}
	return major(before) == 0 || major(now) > major(before)
}

// checkInterface says what calls the version before and fails with this one.
func (r *report) checkInterface(before, now manifest.Manifest, home powershell.Place, at func(cmdlet string) powershell.Place) {
	for _, old := range before.Cmdlets {
		c, ok := now.Cmdlet(old.Name)
		if !ok {
			r.add(interfaceBreak, home, "%s of %s is gone, and what calls it will fail: keep it, or raise the first number of the version.", old.Name, before.Version)
			continue
		}
		for _, change := range changes(old, c) {
			r.add(interfaceBreak, at(c.Name), "%s of %s, and what calls it as before will fail: keep it, or raise the first number of the version.", change, before.Version)
		}
	}
}

// changes are the differences of a cmdlet that break its callers, as the beginnings of sentences.
func changes(old, now manifest.Cmdlet) []string {
	var all []string
	for _, p := range old.Parameters {
		switch q, ok := now.Parameter(p.Name); {
		case !ok:
			all = append(all, fmt.Sprintf("%s lacks the parameter %s, unlike the one", now.Name, p.Name))
		case q.Type != p.Type:
			all = append(all, fmt.Sprintf("%s takes %s as %s, not as %s like the one", now.Name, p.Name, q.Type, p.Type))
		}
	}
	for _, q := range now.Parameters {
		if p, ok := old.Parameter(q.Name); q.Required && (!ok || !p.Required) {
			all = append(all, fmt.Sprintf("%s demands the parameter %s, unlike the one", now.Name, q.Name))
		}
	}
	if now.AutomationOnly && !old.AutomationOnly {
		all = append(all, fmt.Sprintf("%s takes applications only, unlike the one", now.Name))
	}
	return all
}

// mobSince is the first version of Microsoft.AVS.Management that has $MOB_Connection.
const mobSince = "7.0.170"

// checkManagement applies the rules on the module that packages of Azure VMware Solution stand on. mob is where
// $MOB_Connection is used first, if it is.
func (r *report) checkManagement(s Subject, k Known, home powershell.Place, mob *powershell.Place) {
	i := slices.IndexFunc(s.Spec.Dependencies, func(d domain.Dependency) bool { return strings.EqualFold(d.ID, Management) })
	if i < 0 {
		if !strings.EqualFold(s.Manifest.Name, Management) {
			r.add(managementMissing, home, "In Azure VMware Solution the package fails without %s: name it in RequiredModules.", Management)
		}
		return
	}
	least := leastOf(s.Spec.Dependencies[i].Range)
	if k.Management != "" && semver.NuGet.Compare(least, k.Management) < 0 {
		r.add(managementOutdated, home, "The repository has %s %s, and this package asks for %s: test with the newer one and ask for it.", Management, k.Management, orAny(least))
	}
	if mob != nil && semver.NuGet.Compare(least, mobSince) < 0 {
		r.add(managementMOB, *mob, "$MOB_Connection came with %s %s, and the manifest asks for %s: ask for %s at least.", Management, mobSince, orAny(least), mobSince)
	}
}

// leastOf is the lowest version that a range of NuGet's allows ("Package versioning", learn.microsoft.com/nuget), ""
// where any is.
func leastOf(versions string) string {
	least, _, _ := strings.Cut(strings.Trim(versions, "[]() "), ",")
	return strings.TrimSpace(least)
}

func orAny(version string) string {
	if version == "" {
		return "any version"
	}
	return version
}
