package psrp

import (
	"strconv"
	"strings"

	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
)

// Stream is one of PowerShell's streams.
type Stream string

// The streams.
const (
	Output      Stream = "Output"
	Error       Stream = "Error"
	Warning     Stream = "Warning"
	Information Stream = "Information"
	Verbose     Stream = "Verbose"
	Debug       Stream = "Debug"
	Progress    Stream = "Progress"
)

// Record is what a pipeline wrote to one of its streams.
type Record struct {
	Stream Stream
	Value  *clixml.Value // of Output: what was written, nil for $null
	Text   string        // of the other streams: what a console would show
	// NoNewline says of Information that Write-Host was told to end no line.
	NoNewline bool
	IsOver    bool     // of Progress: what it was about has ended
	Failure   *Failure // of Error
}

// Failure is an error record ([MS-PSRP] 2.2.3.15).
type Failure struct {
	Message   string
	ID        string // FullyQualifiedErrorId
	Exception string // .NET type
	Trace     string // ScriptStackTrace: "at Function, file: line 20", innermost first
}

// Place is where in a script something happened.
type Place struct {
	Function string // "" outside of one
	File     string // path
	Line     int
}

// Where is the innermost place of the trace, the zero Place where PowerShell knows no file.
func (f Failure) Where() (p Place) {
	first, _, _ := strings.Cut(f.Trace, "\n")
	place, number, found := cutLast(strings.TrimSpace(first), ": line ")
	line, err := strconv.Atoi(number)
	function, file, _ := strings.Cut(strings.TrimPrefix(place, "at "), ", ")
	if !found || err != nil || file == noFile {
		return p
	}
	p = Place{File: file, Line: line}
	if name, _, _ := strings.Cut(function, "<"); name != "" { // "<ScriptBlock>", "Test-It<End>"
		p.Function = name
	}
	return p
}

// noFile stands in a trace for the text of a pipeline.
const noFile = "<No file>"

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// record reads the message of a stream.
func record(m message) (Record, bool) {
	v := m.value
	switch m.kind {
	case pipelineOutput:
		return Record{Stream: Output, Value: v}, true
	case errorRecord:
		f := failure(v)
		return Record{Stream: Error, Text: f.Message, Failure: &f}, true
	case warningRecord:
		return Record{Stream: Warning, Text: informational(v)}, true
	case verboseRecord:
		return Record{Stream: Verbose, Text: informational(v)}, true
	case debugRecord:
		return Record{Stream: Debug, Text: informational(v)}, true
	case informationRecord:
		return information(v), true
	case progressRecord:
		return Record{Stream: Progress, Text: progress(v), IsOver: v.Get("Type").Number() == "1"}, true
	}
	return Record{}, false
}

func informational(v *clixml.Value) string {
	if text := v.Get("InformationalRecord_Message"); text != nil {
		return text.Str()
	}
	return v.Str()
}

// information reads an information record, which Write-Host fills with a message of its own kind.
func information(v *clixml.Value) Record {
	data := v.Get("MessageData")
	if text := data.Get("Message"); data.Is("System.Management.Automation.HostInformationMessage") && text != nil {
		return Record{Stream: Information, Text: text.Str(), NoNewline: data.Get("NoNewLine").Str() == "true"}
	}
	return Record{Stream: Information, Value: data, Text: data.Str()}
}

func progress(v *clixml.Value) string {
	var parts []string
	for _, name := range []string{"Activity", "StatusDescription", "CurrentOperation"} {
		if s := v.Get(name).Str(); s != "" {
			parts = append(parts, s)
		}
	}
	if p := v.Get("PercentComplete").Str(); p != "" && !strings.HasPrefix(p, "-") {
		parts = append(parts, p+"%")
	}
	return strings.Join(parts, " | ")
}

func failure(v *clixml.Value) Failure {
	exception := v.Get("Exception")
	f := Failure{ID: v.Get("FullyQualifiedErrorId").Str(), Trace: v.Get("ErrorDetails_ScriptStackTrace").Str()}
	if exception != nil && len(exception.Types) > 0 {
		f.Exception = exception.Types[0]
	}
	for _, text := range []*clixml.Value{v.Get("ErrorDetails_Message"), exception.Get("Message"), {Tag: "S", Text: v.Str()}} {
		if !text.IsNull() {
			f.Message = text.Str()
			break
		}
	}
	return f
}
