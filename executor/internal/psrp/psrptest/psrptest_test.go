package psrptest_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/airlock-run/airlock/executor/internal/psrp"
	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
	"github.com/airlock-run/airlock/executor/internal/psrp/psrptest"
	"github.com/airlock-run/airlock/sdk/secret"
)

// dial is a client of the server, which ends with the test.
func dial(t *testing.T, s *psrptest.Server) *psrp.Client {
	t.Helper()
	fromServer, toClient := io.Pipe()
	fromClient, toServer := io.Pipe()
	served := make(chan error, 1)
	go func() {
		served <- s.Serve(fromClient, toClient)
		_ = toClient.Close()
	}()
	c := psrp.New(fromServer, toServer, func(junk []byte, _ bool) { t.Errorf("beside the protocol came %q", junk) },
		func(err error) { t.Error(err) })
	t.Cleanup(func() {
		_ = toServer.Close()
		if err := <-served; err != io.EOF {
			t.Errorf("the server ended with %v", err)
		}
		c.Wait()
	})
	if err := c.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestStreamsAndEnds(t *testing.T) {
	s := &psrptest.Server{Version: "7.4.1", Run: func(p *psrptest.Pipeline) {
		c := p.Statements[0][0]
		switch c.Text {
		case "Write-All":
			p.Output(c.Argument("object"))
			p.Output(nil)
			p.Warning("warning")
			p.Verbose("verbose")
			p.Debug("debug")
			p.Progress("activity", "status", 50)
			p.Information(clixml.Text("information"))
			p.Host("host")
			p.Error(psrptest.Failure{Message: "error", ID: "id", Exception: "E", Trace: "at F, m.psm1: line 3"})
			p.HostCall(1, "11", "ReadLine")
			p.Exit(3)
			p.Completed()
		case "Stop-Failing":
			p.Failed(psrptest.Failure{Message: "no", ID: "id", Exception: "E"})
		}
	}}
	c := dial(t, s)
	if c.Version() != "7.4.1" {
		t.Errorf("the version is %q", c.Version())
	}
	var got []string
	end, err := c.Run(t.Context(), psrp.Pipeline{Statements: [][]psrp.Command{{{Text: "Write-All", Parameters: []psrp.Parameter{{Name: "Object", Value: clixml.Text("output")}}}, {Text: "Out-String"}}}}, nil, func(r psrp.Record) {
		got = append(got, fmt.Sprint(r.Stream, " ", r.Value.Str(), r.Text))
		if r.Failure != nil {
			if at := r.Failure.Where(); at.Function != "F" || at.Line != 3 {
				t.Errorf("the error is in %+v", at)
			}
		}
	})
	want := []string{"Output output", "Output ", "Warning warning", "Verbose verbose", "Debug debug", "Progress activity | status | 50%",
		"Information informationinformation", "Information host", "Error error"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("the records are %q, %v", got, err)
	}
	if end.State != psrp.Completed || end.Exit == nil || *end.Exit != 3 {
		t.Errorf("it ends %+v", end)
	}
	if end, err := c.Run(t.Context(), psrp.Pipeline{Statements: [][]psrp.Command{{{Text: "Stop-Failing"}}}}, nil, nil); err != nil || end.State != psrp.Failed || end.Failure.Message != "no" {
		t.Errorf("it ends %+v, %v", end, err)
	}
}

// Secrets are what the client meant, in both directions, and a large message comes in many fragments.
func TestSecrets(t *testing.T) {
	s := &psrptest.Server{}
	s.Run = func(p *psrptest.Pipeline) {
		for _, a := range p.Statements[0][0].Parameters {
			text, err := s.Reveal(a.Value)
			if err != nil {
				t.Error(err)
			}
			sealed, err := s.Seal("<" + text + ">")
			if err != nil {
				t.Error(err)
			}
			p.Output(sealed)
		}
		p.Completed()
	}
	c := dial(t, s)
	if err := c.ExchangeKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	long := string(make([]byte, 100_000))
	var p []psrp.Parameter
	for _, text := range []string{"", "pä$$ 😀", long} {
		sealed, err := c.SecureString(secret.New(text))
		if err != nil {
			t.Fatal(err)
		}
		p = append(p, psrp.Parameter{Value: sealed})
	}
	var got []string
	if _, err := c.Run(t.Context(), psrp.Pipeline{Statements: [][]psrp.Command{{{Text: "x", Parameters: p}}}}, nil, func(r psrp.Record) {
		text, err := c.Reveal(r.Value)
		if err != nil {
			t.Error(err)
		}
		got = append(got, text.Reveal())
	}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, []string{"<>", "<pä$$ 😀>", "<" + long + ">"}) {
		t.Errorf("the secrets come back as %.100q", got)
	}
}

func TestStop(t *testing.T) {
	ready := make(chan struct{})
	s := &psrptest.Server{Run: func(p *psrptest.Pipeline) {
		close(ready)
		select {
		case <-p.Stopped():
			p.Text("finally")
			p.EndStopped()
		case <-p.Gone():
		}
	}}
	c := dial(t, s)
	stop := make(chan struct{})
	go func() {
		<-ready
		close(stop)
	}()
	var got []string
	end, err := c.Run(t.Context(), psrp.Pipeline{Statements: [][]psrp.Command{{{Text: "Wait"}}}}, stop, func(r psrp.Record) { got = append(got, r.Value.Str()) })
	if err != nil || end.State != psrp.Stopped || !slices.Equal(got, []string{"finally"}) {
		t.Errorf("it ends %+v, %v, and wrote %q", end, err, got)
	}
}

// A pipeline that never ends does not hold up the end of the conversation.
func TestGone(t *testing.T) {
	ready := make(chan struct{})
	c := dial(t, &psrptest.Server{Run: func(p *psrptest.Pipeline) {
		close(ready)
		<-p.Gone()
	}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-ready
		cancel()
	}()
	if _, err := c.Run(ctx, psrp.Pipeline{Statements: [][]psrp.Command{{{Text: "Wait"}}}}, nil, nil); err != context.Canceled {
		t.Errorf("it ends with %v", err)
	}
}

// TestSteps: every pipeline of a recording that is whole has what was sent for it, and its commands decode.
func TestSteps(t *testing.T) {
	all, err := psrptest.Recordings()
	if err != nil || len(all) != 748 {
		t.Fatalf("%d recordings, %v", len(all), err)
	}
	for _, r := range all {
		if r.Truncated != nil {
			continue
		}
		for i, s := range r.Steps() {
			if statements, err := s.Statements(); err != nil || len(s.Sent) > 0 && len(statements) == 0 {
				t.Errorf("%s, step %d: %v, %v", r.Name, i, statements, err)
			}
		}
	}
}

// A process that reads and says nothing holds nobody up for longer than ctx.
func TestNothingIsAnswered(t *testing.T) {
	for what, do := range map[string]func(context.Context, *psrp.Client) error{
		"open": func(ctx context.Context, c *psrp.Client) error { return c.Open(ctx) },
		"keys": func(ctx context.Context, c *psrp.Client) error { return c.ExchangeKey(ctx) },
		"run": func(ctx context.Context, c *psrp.Client) error {
			_, err := c.Run(ctx, psrp.Pipeline{Statements: [][]psrp.Command{{{Text: "Get-Thing"}}}}, nil, func(psrp.Record) {})
			return err
		},
	} {
		fromServer, toClient := io.Pipe()
		fromClient, toServer := io.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		read := make(chan struct{})
		go func() {
			defer close(read)
			b := make([]byte, 1)
			_, _ = fromClient.Read(b)
			cancel() // once it has begun to speak
			_, _ = io.Copy(io.Discard, fromClient)
		}()
		c := psrp.New(fromServer, toServer, func([]byte, bool) {}, func(error) {})
		if err := do(ctx, c); err != context.Canceled {
			t.Errorf("%s ends with %v", what, err)
		}
		_ = toClient.Close()
		_ = toServer.Close()
		c.Wait()
		<-read
	}
}
