package psrp

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
)

// said is what a server writes to say a message of a pipeline, uuid.Nil for the pool.
func said(k kind, pipeline uuid.UUID, v *clixml.Value) (raw []byte) {
	for _, f := range fragments(1, messageOf(k, pipeline, v)) {
		raw = append(raw, line{verb: data, id: pipeline, data: f}.encode()...)
	}
	return raw
}

func messageOf(k kind, pipeline uuid.UUID, v *clixml.Value) []byte {
	b := message{kind: k, pipeline: pipeline, value: v}.encode()
	b[0] = toClient
	return b
}

func stateOf(number string) *clixml.Value {
	return clixml.Object(prop("PipelineState", clixml.Primitive("I32", number)))
}

// TestEndWithoutState: a process that dies has not succeeded, whatever it wrote before.
func TestEndWithoutState(t *testing.T) {
	fromServer, toClient := io.Pipe()
	fromClient, toServer := io.Pipe()
	go func() { // acknowledges everything, says nothing of an end, and goes
		defer toClient.Close()
		for n := 0; n < 2; n++ {
			var raw []byte
			for b := make([]byte, 1); len(raw) == 0 || raw[len(raw)-1] != '\n'; raw = append(raw, b[0]) {
				if _, err := io.ReadFull(fromClient, b); err != nil {
					return
				}
			}
			l, err := parseSent(string(raw))
			if err != nil {
				return
			}
			_, _ = toClient.Write(line{verb: l.verb + "Ack", id: l.id}.encode())
		}
		_, _ = io.WriteString(toClient, "Unhandled exception.\n")
	}()
	var junk bytes.Buffer
	c := New(fromServer, toServer, func(b []byte, _ bool) { junk.Write(b) }, func(err error) { t.Error(err) })
	end, err := c.Run(t.Context(), Pipeline{Statements: [][]Command{{{Text: "Get-Thing"}}}}, nil, func(Record) {})
	c.Wait()
	if !errors.Is(err, ErrEnded) || end.State != "" {
		t.Errorf("the run ends %v, %v", end, err)
	}
	if junk.String() != "Unhandled exception." {
		t.Errorf("beside the protocol came %q", junk.String())
	}
}
