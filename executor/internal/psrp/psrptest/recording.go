package psrptest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	_ "embed" // the recordings
	"encoding/json"
	"strings"

	"github.com/google/uuid"
)

//go:embed testdata/recordings.jsonl.gz
var packed []byte

// Recording is what a real pwsh said to a client, and what that said to it. There are 748, of PowerShell 7.6.5, without
// times and decoded messages.
type Recording struct {
	Name     string
	Script   string // what the client asked, readable
	Exchange []struct{ Dir, Line string }
	Outcome  Outcome // of the pipeline that the recording is about
	// Pipelines are those of the recording in their order; nil where there is one.
	Pipelines []struct {
		Script  string
		Outcome Outcome
	}
	Keys            struct{ SessionKey string } // in hex
	Truncated       any                         // not nil: lines of it were left out
	Host            string
	ProcessExitCode *int
}

// Outcome is what came of a pipeline.
type Outcome struct {
	State                 string
	Reason                *string
	FullyQualifiedErrorID *string `json:"fullyQualifiedErrorId"`
	ExceptionType         string
	Streams               []Written
	HostCalls             []struct {
		Method     string
		Parameters []any
	}
}

// Written is a record of a stream.
type Written struct {
	Stream, Shape, Type, ExceptionType, FullyQualifiedErrorID string

	Text      *string
	NoNewLine bool
}

// Recordings are all that there are.
func Recordings() (all []Recording, err error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	in := bufio.NewScanner(z)
	for in.Buffer(nil, 64<<20); in.Scan(); {
		var r Recording
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, in.Err()
}

// Outcomes are those of all pipelines.
func (r Recording) Outcomes() []Outcome {
	if r.Pipelines == nil {
		return []Outcome{r.Outcome}
	}
	var all []Outcome
	for _, p := range r.Pipelines {
		all = append(all, p.Outcome)
	}
	return all
}

// Step is a pipeline of a recording, and what was said of it. A program that gets it as JSON can play it.
type Step struct {
	Sent       []string // Data lines of the client's
	Said       []string // up to the client's signal, if there was one
	AfterStop  []string // what was said then
	WasStopped bool
	Exit       *int // with which status the process ended instead of the pipeline
	Outcome    Outcome
}

func (s *Step) said(raw string) {
	if s.WasStopped {
		s.AfterStop = append(s.AfterStop, raw)
	} else {
		s.Said = append(s.Said, raw)
	}
}

// Steps are the pipelines of a recording.
func (r Recording) Steps() []Step {
	outcomes := r.Outcomes()
	var all []Step
	at, ended := map[uuid.UUID]int{}, map[uuid.UUID]bool{}
	for _, e := range r.Exchange {
		l, err := parseLine(e.Line[max(strings.LastIndexByte(e.Line, '<'), 0):])
		if strings.HasSuffix(e.Line, "</Data>") {
			l, err = parseLine(e.Line[max(strings.LastIndex(e.Line, "<Data "), 0):])
		}
		i, known := at[l.id]
		if m, err := decodeMessage(l.data[min(fragmentHead, len(l.data)):]); err == nil && m.kind == pipelineState {
			ended[l.id] = true
		}
		switch {
		case e.Dir == "send" && err == nil && l.verb == "Command" && len(all) < len(outcomes):
			at[l.id] = len(all)
			all = append(all, Step{Outcome: outcomes[len(all)]})
		case e.Dir == "send" && err == nil && known && l.verb == "Data":
			all[i].Sent = append(all[i].Sent, e.Line)
		case e.Dir == "send" && err == nil && known && l.verb == "Signal":
			all[i].WasStopped = !ended[l.id]
		case e.Dir == "send" && l.verb == "Close":
			delete(at, l.id)
		case e.Dir == "send" || err == nil && l.verb != "Data" && strings.HasPrefix(e.Line, "<"):
		case err != nil && len(all) > 0: // no line of the protocol
			all[len(all)-1].said(e.Line)
		case known:
			all[i].said(e.Line)
		}
	}
	if n := len(all); n > 0 && all[n-1].Outcome.State == "ProcessExit" {
		all[n-1].Exit = r.ProcessExitCode
	}
	return all
}

// Statements are the commands of the pipeline.
func (s Step) Statements() (all [][]Command, err error) {
	var j joiner
	for _, raw := range s.Sent {
		l, err := parseLine(raw)
		if err == nil {
			err = j.add(l.data, func(m message) error {
				if m.kind == createPipeline {
					all = statements(m.value)
				}
				return nil
			})
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Play is what a program plays in place of a module's cmdlet, from a file of this JSON. A step without Outcome is one of
// which nothing was recorded: it ends well.
type Play struct {
	Cmdlet    string
	Arguments []Argument // in their order
	Run       Step
	Import    Step
	Variables map[string][]string // Data lines that answer Get-Variable, by name in lower case
	Key       []byte              // the session key, nil for any
}

// PlayName is the name of the file, which lies in the module's directory.
const PlayName = "recording.json"
