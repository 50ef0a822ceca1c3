package review_test

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/packages/internal/review"
	"github.com/airlock-run/airlock/sdk/manifest"
)

// sound is a package in Go that trips no rule.
func sound() manifest.Manifest {
	m := manifest.Manifest{ManifestVersion: manifest.Version, Name: name, Version: "1.5.0", Runtime: manifest.Go}
	for _, kind := range []manifest.Lifecycle{
		manifest.PreflightInstall, manifest.Install, manifest.PreflightUpgrade, manifest.Upgrade,
		manifest.RotateCredentials, manifest.PreflightUninstall, manifest.Uninstall,
	} {
		m.Cmdlets = append(m.Cmdlets, manifest.Cmdlet{Name: string(kind), Description: "does it"})
	}
	m.Cmdlets = append(m.Cmdlets, manifest.Cmdlet{
		Name: "Get-Backup", Description: "shows it", Lifecycle: manifest.Diagnostics,
		Parameters: []manifest.Parameter{{Name: "Name", Type: manifest.String, Description: "which", Required: true}},
	})
	return m
}

// The rules that hold for a package in Go.
func TestGoPackages(t *testing.T) {
	t.Parallel()
	last := len(sound().Cmdlets) - 1
	for _, c := range []struct {
		name   string
		change func(*manifest.Manifest)
		want   []string // the findings, as RULE and a part of the message
	}{
		{"sound", func(*manifest.Manifest) {}, nil},
		{"version", func(m *manifest.Manifest) { m.Version = "1.5" }, []string{"package-version 1.5"}},
		{"kind", func(m *manifest.Manifest) { m.Cmdlets[last].Lifecycle = "" }, []string{"lifecycle-missing diagnostics"}},
		{"verb", func(m *manifest.Manifest) {
			m.Cmdlets[0].Name, m.Cmdlets[0].Lifecycle = "Check-It", manifest.PreflightInstall
		}, []string{"interface-break preflight-install", "cmdlet-verb Check"}},
		{"silent cmdlet", func(m *manifest.Manifest) { m.Cmdlets[last].Description = "" }, []string{"cmdlet-help Get-Backup"}},
		{"silent parameter", func(m *manifest.Manifest) { m.Cmdlets[last].Parameters[0].Description = "" }, []string{"parameter-help Name"}},
		{"gone", func(m *manifest.Manifest) {
			m.Cmdlets = m.Cmdlets[:last]
			m.Cmdlets[0].Lifecycle = manifest.Diagnostics
		}, []string{"interface-break Get-Backup of 1.4.0 is gone", "lifecycle-missing preflight-install"}},
		{"parameter gone", func(m *manifest.Manifest) { m.Cmdlets[last].Parameters = nil }, []string{"interface-break lacks the parameter Name"}},
		{"type", func(m *manifest.Manifest) { m.Cmdlets[last].Parameters[0].Type = manifest.Int }, []string{"interface-break takes Name as Int, not as String"}},
		{"case", func(m *manifest.Manifest) { m.Cmdlets[last].Parameters[0].Name = "NAME" }, nil},
		{"demanded", func(m *manifest.Manifest) {
			m.Cmdlets[last].Parameters = append(m.Cmdlets[last].Parameters, manifest.Parameter{Name: "New", Type: manifest.Int, Description: "n", Required: true})
		}, []string{"interface-break demands the parameter New"}},
		{"optional", func(m *manifest.Manifest) {
			m.Cmdlets[last].Parameters = append(m.Cmdlets[last].Parameters, manifest.Parameter{Name: "New", Type: manifest.Int, Description: "n"})
		}, nil},
		{"eased", func(m *manifest.Manifest) { m.Cmdlets[last].Parameters[0].Required = false }, nil},
		{"applications", func(m *manifest.Manifest) { m.Cmdlets[last].AutomationOnly = true }, []string{"interface-break takes applications only"}},
		{"new major", func(m *manifest.Manifest) { m.Version, m.Cmdlets[last].Parameters = "2.0.0", nil }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			before, now := sound(), sound()
			before.Version = "1.4.0"
			c.change(&now)
			data, err := json.MarshalIndent(now, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			found := review.Check(review.Subject{Manifest: now, Declared: data, Spec: domain.Spec{ProjectURL: "https://contoso.example"}}, review.Known{Previous: &before})
			if len(found) != len(c.want) {
				t.Fatalf("%v, want %v", found, c.want)
			}
			for i, f := range found {
				rule, part, _ := strings.Cut(c.want[i], " ")
				if f.Rule != rule || !strings.Contains(f.Message, part) || f.File != manifest.File {
					t.Errorf("%+v, want %s", f, c.want[i])
				}
				if slices.Contains([]string{"cmdlet-help", "parameter-help", "cmdlet-verb"}, f.Rule) && f.Line == 0 {
					t.Errorf("%+v has no line", f)
				}
			}
		})
	}
}

// Version 0 may break what it likes, and a package without a web page hears of it.
func TestFirstVersions(t *testing.T) {
	t.Parallel()
	before, now := sound(), sound()
	before.Version, now.Version, now.Cmdlets[0].Parameters = "0.1.0", "0.2.0", []manifest.Parameter{{Name: "New", Type: manifest.Int, Description: "n", Required: true}}
	found := review.Check(review.Subject{Manifest: now}, review.Known{Previous: &before})
	if len(found) != 1 || found[0].Rule != "project-uri" {
		t.Errorf("%v", found)
	}
}

// A log in SARIF has what its schema demands, and leads to the rules' page.
func TestSARIF(t *testing.T) {
	t.Parallel()
	findings := []domain.ReviewFinding{
		{Rule: "login", Severity: domain.SeverityError, File: "lib/a b.psm1", Line: 3, Column: 5, Message: "No."},
		{Rule: "role-privileges", Severity: domain.SeverityNote, File: "x.psm1", Message: "Look."},
		{Rule: "project-uri", Severity: domain.SeverityWarning, Message: "Where?"},
	}
	var b strings.Builder
	if err := review.WriteSARIF(&b, findings); err != nil {
		t.Fatal(err)
	}
	var log map[string]any
	if err := json.Unmarshal([]byte(b.String()), &log); err != nil {
		t.Fatal(err)
	}
	for pointer, want := range map[string]any{
		"version": "2.1.0", "runs.0.tool.driver.name": "airlock", "runs.0.columnKind": "utf16CodeUnits",
		"runs.0.results.0.ruleId": "login", "runs.0.results.0.ruleIndex": 0., "runs.0.results.0.level": "error",
		"runs.0.results.0.message.text":                                      "No.",
		"runs.0.results.0.locations.0.physicalLocation.artifactLocation.uri": "lib/a%20b.psm1",
		"runs.0.results.0.locations.0.physicalLocation.region.startLine":     3.,
		"runs.0.results.0.locations.0.physicalLocation.region.startColumn":   5.,
		"runs.0.results.1.level":                                             "note",
		"runs.0.results.1.locations.0.physicalLocation.region":               nil,
		"runs.0.results.2.level":                                             "warning",
		"runs.0.results.2.locations":                                         nil,
		"runs.0.tool.driver.rules.0.helpUri":                                 "https://github.com/airlock-run/airlock/blob/main/docs/rules.md#login",
		"runs.0.tool.driver.rules.0.defaultConfiguration.level":              "error",
	} {
		if got := at(log, pointer); got != want {
			t.Errorf("%s is %v, want %v", pointer, got, want)
		}
	}
	rules := at(log, "runs.0.tool.driver.rules").([]any)
	for i, r := range rules { // reportingDescriptor demands id; texts are multiformatMessageStrings, which demand text
		if at(r, "id") != review.Rules[i].ID || at(r, "shortDescription.text") == "" {
			t.Errorf("rule %d is %v", i, r)
		}
		if u, err := url.Parse(at(r, "helpUri").(string)); err != nil || u.Fragment != review.Rules[i].ID {
			t.Errorf("rule %d leads to %v", i, at(r, "helpUri"))
		}
	}
	for _, r := range at(log, "runs.0.results").([]any) {
		if rule := rules[int(at(r, "ruleIndex").(float64))]; at(rule, "id") != at(r, "ruleId") {
			t.Errorf("%v has the index of another rule", r)
		}
	}
}

// at is what a path of names and numbers leads to, nil for nothing.
func at(v any, path string) any {
	for step := range strings.SplitSeq(path, ".") {
		switch inner := v.(type) {
		case map[string]any:
			v = inner[step]
		case []any:
			i := int(step[0] - '0')
			if i >= len(inner) {
				return nil
			}
			v = inner[i]
		default:
			return nil
		}
	}
	return v
}
