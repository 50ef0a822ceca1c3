package domain

import (
	"slices"
	"time"
)

// Review is what has become of a version's review.
type Review struct {
	State  ReviewState
	By     Principal // who decided; nobody for what the server itself was started with
	Time   time.Time // of the decision
	Reason string    // why it was rejected or deprecated
	// Acknowledged are the ids of the errors that the reviewer has approved it with.
	Acknowledged []string
}

// ReviewState is where a version stands.
type ReviewState string

// The states of a version. One of the dev ring is never reviewed and stays Submitted.
const (
	Submitted  ReviewState = "Submitted"
	Approved   ReviewState = "Approved"
	Rejected   ReviewState = "Rejected"   // runs nowhere, nor does what depends on it
	Deprecated ReviewState = "Deprecated" // runs where it is asked for by its exact version
)

// Allows says whether a version in this state can be decided to be in the other one. What was approved can be withdrawn,
// by rejecting it; nothing leads back.
func (s ReviewState) Allows(to ReviewState) bool {
	switch to {
	case Approved:
		return s == Submitted
	case Deprecated:
		return s == Approved
	case Rejected:
		return s == Submitted || s == Approved || s == Deprecated
	}
	return false
}

// Decision is what somebody decides about a version: its review from now on, and what it depends on from now on where it
// is approved. The decision approves libraries of the lock that are Submitted too.
type Decision struct {
	Digest string
	Review Review
	Lock   []PackageRef
}

// ReviewFinding is what the analysis of a package has to say about a place in it. Its form as JSON is that of the API, of
// the command line and of the store.
type ReviewFinding struct {
	Rule     string   `json:"rule"` // its id, which docs/rules.md explains
	Severity Severity `json:"severity"`
	File     string   `json:"file,omitempty"` // in the package, with '/'; "" for the package as a whole
	Line     int      `json:"line,omitempty"` // from 1; 0 for the file as a whole
	Column   int      `json:"column,omitempty"`
	Message  string   `json:"message"` // one sentence why, and what to do
}

// Severity says what a finding means to a review.
type Severity string

// The severities. A package with errors is approved only by somebody who acknowledges each by its rule.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
	SeverityNote    Severity = "note" // for the reviewer to look at
)

// Errors are the rules among the findings that an approval has to acknowledge, each once, in order.
func (p Package) Errors() []string {
	var rules []string
	for _, f := range p.Findings {
		if f.Severity == SeverityError {
			rules = append(rules, f.Rule)
		}
	}
	slices.Sort(rules)
	return slices.Compact(rules)
}
