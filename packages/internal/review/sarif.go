package review

import (
	"encoding/json"
	"io"
	"net/url"
	"slices"

	"github.com/airlock-run/airlock/internal/domain"
)

const (
	website   = "https://github.com/airlock-run/airlock"
	rulesPage = website + "/blob/main/docs/rules.md#"
)

// The parts of SARIF 2.1.0 that a review fills (OASIS, "Static Analysis Results Interchange Format", section 3).
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool struct {
			Driver sarifDriver `json:"driver"`
		} `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID                   string    `json:"id"`
		ShortDescription     sarifText `json:"shortDescription"`
		HelpURI              string    `json:"helpUri"`
		DefaultConfiguration struct {
			Level domain.Severity `json:"level"`
		} `json:"defaultConfiguration"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     domain.Severity `json:"level"` // SARIF has the same words
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations,omitempty"`
	}
	sarifLocation struct {
		PhysicalLocation struct {
			ArtifactLocation struct {
				URI string `json:"uri"`
			} `json:"artifactLocation"`
			Region *sarifRegion `json:"region,omitempty"`
		} `json:"physicalLocation"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn,omitempty"`
	}
)

// WriteSARIF writes findings, of rules in Rules, as a log in SARIF 2.1.0, which code hosts show beside the code.
func WriteSARIF(w io.Writer, findings []domain.ReviewFinding) error {
	run := sarifRun{ColumnKind: "utf16CodeUnits", Results: []sarifResult{}}
	run.Tool.Driver = sarifDriver{Name: "airlock", InformationURI: website}
	for _, rule := range Rules {
		described := sarifRule{ID: rule.ID, ShortDescription: sarifText{"The package " + rule.Title + "."}, HelpURI: rulesPage + rule.ID}
		described.DefaultConfiguration.Level = rule.Severity
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, described)
	}
	for _, f := range findings {
		run.Results = append(run.Results, result(f))
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(sarifLog{
		Schema:  "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
		Version: "2.1.0", Runs: []sarifRun{run},
	})
}

func result(f domain.ReviewFinding) sarifResult {
	r := sarifResult{
		RuleID: f.Rule, RuleIndex: slices.IndexFunc(Rules, func(rule Rule) bool { return rule.ID == f.Rule }),
		Level: f.Severity, Message: sarifText{f.Message},
	}
	if f.File == "" {
		return r
	}
	var at sarifLocation
	at.PhysicalLocation.ArtifactLocation.URI = (&url.URL{Path: f.File}).EscapedPath()
	if f.Line > 0 {
		at.PhysicalLocation.Region = &sarifRegion{StartLine: f.Line, StartColumn: f.Column}
	}
	r.Locations = []sarifLocation{at}
	return r
}
