package domain

import "time"

// Review is what has become of a version's review.
type Review struct {
	State  ReviewState
	By     Principal // who decided
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
	Rejected   ReviewState = "Rejected"
	Deprecated ReviewState = "Deprecated" // runs where it is asked for by its exact version
)

// ReviewFinding is what the analysis of a package has to say about a place in it.
type ReviewFinding struct {
	Rule         string // its id, which docs/rules.md explains
	Severity     Severity
	File         string // in the package, with '/'; "" for the package as a whole
	Line, Column int    // from 1; 0 for the file as a whole
	Message      string // one sentence why, and what to do
}

// Severity says what a finding means to a review.
type Severity string

// The severities. A package with errors is approved only by somebody who acknowledges each by its rule.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
	SeverityNote    Severity = "note" // for the reviewer to look at
)
