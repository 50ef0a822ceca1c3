package psrp

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/executor/internal/psrp/psrptest"
)

type recording = psrptest.Recording

func recordings(t testing.TB) []recording {
	t.Helper()
	all, err := psrptest.Recordings()
	if err != nil || len(all) != 748 {
		t.Fatalf("%d recordings, %v", len(all), err)
	}
	return all
}

// beside is what came beside the protocol in the first lines of a recording.
func beside(r recording, lines int) (all []string) {
	for _, e := range r.Exchange[:lines] {
		if begin := theLine.FindStringIndex(e.Line); e.Dir == "recv" && begin == nil {
			all = append(all, e.Line)
		} else if e.Dir == "recv" && begin[0] > 0 {
			all = append(all, e.Line[:begin[0]])
		}
	}
	return all
}

var theLine = regexp.MustCompile(`<(Data Stream='Default' PSGuid='[-0-9a-f]{36}'>[A-Za-z0-9+/=]*</Data|(Data|Command|Close|Signal)Ack PSGuid='[-0-9a-f]{36}' /)>$`)

// leftOut says why a recording is not replayed, "" for one that is.
func leftOut(r recording) string {
	switch {
	case r.Truncated != nil:
		return "its lines were cut"
	}
	for prefix, why := range map[string]string{
		"protocol-":              "the recorder broke the protocol",
		"two-at-once":            "two pipelines at a time, the client runs one",
		"close-p":                "the recorder closed what ran, the client signals",
		"stop-before-start":      "the recorder signalled before it had sent the pipeline",
		"stop-twice":             "the recorder signalled twice",
		"stop-after-completed":   "the recorder signalled what had ended",
		"stop-at-once":           "a race that was recorded as it fell",
		"args-appargs":           "arguments of the pool that the client never sends",
		"pipeline-without-close": "the recorder closed no pipeline",
		"stdin-eof":              "the recorder closed the process's input",
		"stop-thread-sleep":      "two pipelines at a time, the client runs one",
		"stop-read-host":         "the recorder left a host call unanswered",
		"key-twice":              "the recorder exchanged keys twice",
		"open-pool":              "the opening is part of each replay",
	} {
		if strings.HasPrefix(r.Name, prefix) {
			return why
		}
	}
	var join joiner
	why := ""
	for _, e := range r.Exchange {
		l, err := parseSent(e.Line)
		if e.Dir != "send" || err != nil || l.verb != data {
			continue
		}
		err = joinAll(&join, l.data, func(b []byte) error {
			m, err := sentMessage(b)
			if err == nil && why == "" {
				why = neverSent(m)
			}
			return err
		})
		if err != nil {
			return "what the recorder sent does not decode"
		}
	}
	return why
}

// neverSent says why the client has no such message.
func neverSent(m message) string {
	switch m.kind {
	case sessionCapability, initRunspacePool, publicKey, pipelineHostResponse:
		return ""
	case createPipeline:
		if m.value.Get("NoInput").Str() != "true" || m.value.Get("AddToHistory").Str() != "false" || m.value.Get("RemoteStreamOptions").Number() != "0" {
			return "options that the client never sets"
		}
		return ""
	}
	return fmt.Sprintf("a message that the client never sends, %08x", uint32(m.kind))
}
