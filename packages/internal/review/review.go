// Package review looks through a package for what its reviewers should know, without running any of it.
//
// A rule reports places; docs/rules.md explains each to vendors. The review is a help and no guard: it reads what is
// written, and what only running the code would tell is a finding of its own (computed-call, unknown-declaration).
package review

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/packages/internal/powershell"
	"github.com/airlock-run/airlock/sdk/manifest"
)

// Subject is the package under review.
type Subject struct {
	Manifest manifest.Manifest
	Spec     domain.Spec
	Declared []byte             // airlock.json of a package in Go, to find lines in
	Module   *powershell.Module // of a package in PowerShell, else nil
}

// Known is what the repository knows beside the package. Rules that need what is missing find nothing.
type Known struct {
	Previous   *manifest.Manifest // of the highest version before this one
	Management string             // the highest version of Microsoft.AVS.Management
}

// Check reviews a package. The findings are sorted by file and place.
func Check(s Subject, k Known) []domain.ReviewFinding {
	r := &report{counts: map[string]int{}}
	home, at := s.places()
	r.checkPackage(s, k, home, at)
	r.checkDeclarations(s.Manifest, at)
	if s.Module != nil {
		for _, f := range s.Module.Findings {
			if r.room(f.Rule) {
				r.findings = append(r.findings, f)
			}
		}
		r.checkFunctions(s)
		r.checkManagement(s, k, home, usesMOB(s.Module))
		r.checkLoads(s.Module)
		c := read(r, s.Module)
		c.follow()
		c.checkCalls()
		c.checkRoles()
	}
	return r.sorted()
}

// report collects findings.
type report struct {
	findings []domain.ReviewFinding
	counts   map[string]int // by rule
}

// Bounds of what is said: names in messages come from the package.
const (
	maxPerRule = 100
	maxMessage = 1000
)

// room counts a finding, and says whether it is one of those that are kept.
func (r *report) room(rule string) bool {
	r.counts[rule]++
	return r.counts[rule] <= maxPerRule
}

func (r *report) add(rule Rule, at powershell.Place, format string, args ...any) {
	if r.room(rule.ID) {
		r.keep(rule, at, fmt.Sprintf(format, args...))
	}
}

func (r *report) keep(rule Rule, at powershell.Place, message string) {
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + " …."
	}
	r.findings = append(r.findings, domain.ReviewFinding{
		Rule: rule.ID, Severity: rule.Severity, File: at.File, Line: at.Line, Column: at.Column, Message: message,
	})
}

// sorted are the findings by file and place, and how many more there are.
func (r *report) sorted() []domain.ReviewFinding {
	for _, rule := range Rules {
		if more := r.counts[rule.ID] - maxPerRule; more > 0 {
			r.keep(rule, powershell.Place{}, fmt.Sprintf("There are %d more findings of this rule: look at the %d that are listed, and check again.", more, maxPerRule))
		}
	}
	slices.SortStableFunc(r.findings, func(a, b domain.ReviewFinding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Rule, b.Rule))
	})
	return r.findings
}
