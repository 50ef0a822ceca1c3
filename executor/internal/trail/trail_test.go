package trail_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/airlock-run/airlock/executor/internal/trail"
	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/redact"
	"github.com/airlock-run/airlock/sdk/secret"
)

// memory is a store in memory that can be held up and fail. It is the installation's log, too.
type memory struct {
	mu      sync.Mutex
	chunks  [][]audit.Event
	at      []time.Time
	log     []audit.Event
	stored  int64
	err     error
	blocked chan struct{} // nil: not
}

func (m *memory) AppendAudit(_ context.Context, id string, fence int64, events []audit.Event) error {
	if m.blocked != nil {
		<-m.blocked
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	if next := m.stored + 1; id != "x" || fence != 7 || events[0].Seq != next {
		return fmt.Errorf("%s under %d: event %d after %d", id, fence, events[0].Seq, next-1)
	}
	m.stored += int64(len(events))
	m.chunks, m.at = append(m.chunks, append([]audit.Event(nil), events...)), append(m.at, time.Now())
	return nil
}

func (m *memory) RewriteAudit(_ context.Context, _ string, _, last int64, rewrite func([]audit.Event) bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	for i, chunk := range m.chunks {
		if events := append([]audit.Event(nil), chunk...); events[0].Seq <= last && rewrite(events) {
			m.chunks[i] = events
		}
	}
	return nil
}

func (m *memory) Write(_ context.Context, e audit.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.log = append(m.log, e)
}

func (m *memory) all() (events []audit.Event) {
	for _, chunk := range m.chunks {
		events = append(events, chunk...)
	}
	return events
}

type fixture struct {
	*trail.Recorder
	memory
	secrets *redact.Set
	failed  []error
}

func newFixture(secrets ...string) *fixture {
	f := &fixture{secrets: redact.NewSet()}
	f.hide(secrets...)
	f.Recorder = trail.New(context.Background(), trail.Config{Store: &f.memory, Execution: "x", Fence: 7, Secrets: f.secrets,
		Log: &f.memory, Failed: func(err error) { f.failed = append(f.failed, err) }})
	return f
}

func (f *fixture) hide(secrets ...string) {
	for _, s := range secrets {
		if err := f.secrets.Add(secret.New(s)); err != nil {
			panic(err)
		}
	}
}

func (f *fixture) Write(e audit.Event) { f.Recorder.Write(context.Background(), e) }

func (f *fixture) close(t *testing.T) []audit.Event {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Fatal("close:", err)
	}
	return f.all()
}

// quoted are the texts of events.
func quoted(events []audit.Event) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%q\n", []string{e.Host, e.Method, e.Target, e.Result, e.Detail})
	}
	return b.String()
}

func call(n int) audit.Event {
	return audit.Event{Time: time.Unix(int64(n), 0), Action: "vcenter/call", Host: "vc", Method: "PowerOnVM_Task", Target: fmt.Sprint(n), Result: "200", Sent: 2, Received: 3, Duration: time.Second}
}

func TestBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		begin := time.Now()
		f.Write(call(0))
		time.Sleep(trail.BatchAge)
		synctest.Wait()
		if len(f.at) != 1 || f.at[0].Sub(begin) != trail.BatchAge {
			t.Fatalf("an event alone was stored at %v", f.at)
		}
		begin = time.Now()
		for n := range trail.BatchEvents {
			f.Write(call(1 + n))
		}
		synctest.Wait()
		if len(f.at) != 2 || f.at[1] != begin {
			t.Fatalf("a full batch was not stored at once: %v", f.at)
		}
		f.Write(call(1 + trail.BatchEvents))
		all := f.close(t)
		if len(f.at) != 3 || f.at[2] != begin {
			t.Fatalf("the end was not stored at once: %v", f.at)
		}
		for n, e := range all {
			if want := call(n); e.Target != want.Target || e.Seq != int64(n+1) || e.Sent != 2 || e.Duration != time.Second {
				t.Fatalf("event %d: %+v", n, e)
			}
		}
		if len(all) != trail.BatchEvents+2 || fmt.Sprint(f.log) != fmt.Sprint(all) {
			t.Errorf("%d events are stored, %d in the log", len(all), len(f.log))
		}
	})
}

// Whoever writes an event does not wait for a store that is behind; what it cannot take is counted.
func TestSlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		f.blocked = make(chan struct{})
		const many = 2*trail.MaxQueued + trail.BatchEvents
		for n := range many {
			f.Write(call(n))
		}
		synctest.Wait()
		close(f.blocked)
		wantAll(t, f.close(t), many)
	})
}

// wantAll checks that so many calls are listed or counted.
func wantAll(t *testing.T, all []audit.Event, want int64) {
	t.Helper()
	listed, counted, remarks := int64(0), int64(0), int64(0)
	for _, e := range all {
		switch {
		case e.Action == "audit/bounded":
			remarks++
		case e.Count > 0:
			counted += e.Count
		default:
			listed++
		}
	}
	if listed+counted != want || counted == 0 || remarks == 0 {
		t.Errorf("of %d calls %d are listed and %d counted, with %d remarks", want, listed, counted, remarks)
	}
}

// A flood of one kind pushes out none of another, and nothing is left out of the counts.
func TestFloods(t *testing.T) {
	t.Parallel()
	refused := func(n int) audit.Event {
		e := call(n)
		e.Action, e.Result = "vcenter/refused", "no-login"
		return e
	}
	failed := func(n int) audit.Event {
		e := call(n)
		e.Result = "NotFound"
		return e
	}
	floods := map[string]func(int) audit.Event{"calls": call, "failed": failed, "refused": refused}
	for name, flood := range floods {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture()
			const many = 20_000
			for n := range many {
				f.Write(flood(n))
				if n%1000 == 0 {
					f.Recorder.Drain()
				}
			}
			for _, e := range []audit.Event{call(-1), failed(-2), refused(-3)} {
				f.Write(e)
			}
			all := f.close(t)
			wantAll(t, all, many+3)
			last := map[string]bool{}
			var summary audit.Event
			for _, e := range all {
				last[e.Target] = true
				if e.Count > 0 {
					summary = e
				}
			}
			for other, target := range map[string]string{"calls": "-1", "failed": "-2", "refused": "-3"} {
				if last[target] != (other != name) {
					t.Errorf("after the flood of %s the next of %s is listed: %v", name, other, last[target])
				}
			}
			want := flood(0)
			if summary.Action != want.Action || summary.Method != want.Method || summary.Host != want.Host || summary.Result != want.Result ||
				summary.Sent != 2*summary.Count || summary.Received != 3*summary.Count || summary.Duration != time.Duration(summary.Count)*time.Second {
				t.Errorf("the summary: %+v", summary)
			}
		})
	}
}

// What a script chooses itself makes no count of its own for ever, and no long text.
func TestManyKinds(t *testing.T) {
	t.Parallel()
	f := newFixture()
	const many = trail.MaxRefused + 2000
	for n := range many {
		f.Write(audit.Event{Action: "ssh/refused", Host: "vc", Result: fmt.Sprint("rule-", n), Target: strings.Repeat("ü", 10_000)})
		if n%100 == 0 {
			f.Recorder.Drain()
		}
	}
	all := f.close(t)
	wantAll(t, all, many)
	kinds := 0
	for _, e := range all {
		if len(e.Target) > trail.MaxText || e.Target != "" && !strings.HasSuffix(e.Target, "ü…") {
			t.Fatalf("a target of %d bytes ends in %q", len(e.Target), e.Target[len(e.Target)-8:])
		}
		if e.Count > 0 {
			kinds++
		}
	}
	if kinds != trail.MaxKinds+1 {
		t.Errorf("%d counts", kinds)
	}
}

func TestRedaction(t *testing.T) {
	t.Parallel()
	const password = "p@ss w/ ünd+%41"
	f := newFixture(password, "hunter22", "correct horse battery")
	for _, e := range []audit.Event{
		{Target: "/folder/" + password + "/vm"},
		{Target: "/folder/p%40ss%20w%2F%20%C3%BCnd%2B%2541/hunter22"},
		{Method: "GET /api?q=p%40ss+w%2F+%c3%bcnd%2b%2541&r=%zz%"},
		{Detail: "echo " + base64.StdEncoding.EncodeToString([]byte(password))},
		{Host: "hunter22.example"},
		{Result: "hunter22@openssh.com"},
		{Method: "correct"}, // the program of a command line that was cut after it
		{Detail: strings.Repeat("x", 4085) + password},
		{Detail: strings.Repeat("x", 1020) + "hunter22"},
		{Target: "hun\nter22 \xff"},
	} {
		f.Write(e)
	}
	shown := quoted(f.close(t)) + quoted(f.log)
	for _, part := range []string{password, "p@ss", "p%40ss", "hunter22", "correct", "hunt", "hun\\nter", "cEBzcyB3", "\xff"} {
		if strings.Contains(shown, part) {
			t.Errorf("%q is shown: %s", part, shown)
		}
	}
	for _, whole := range []string{`"/folder/[redacted]/vm"`, `"/folder/[redacted]/[redacted]"`, `"GET /api?q=[redacted]&r=%zz%"`, `"echo [redacted]"`, `"[redacted].example"`, `"[redacted] \\xff"`} {
		if strings.Count(shown, whole) != 2 {
			t.Errorf("%s is not shown in the store and in the log: %s", whole, shown)
		}
	}
}

// A secret that becomes known late is taken out of what is stored already.
func TestLateSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture("hunter22")
		detail := func(text string) { f.Write(audit.Event{Detail: text}) }
		stored := func() { time.Sleep(trail.BatchAge); synctest.Wait() }
		detail("hunter22 and canary-1")
		stored()
		f.hide("canary-1")
		detail("canary-1 and canary-2")
		detail(strings.Repeat("x", trail.MaxText-len("canary-")) + "canary-2")
		stored()
		f.hide("canary-2")
		detail("canary-2")
		f.hide("canary-3")
		detail("canary-3")
		detail("canary-4")
		stored()
		f.hide("canary-4")
		all := f.close(t)
		if text := fmt.Sprint(all); len(all) != 6 || strings.Contains(text, "cana") || strings.Contains(text, "hunter") {
			t.Errorf("stored: %s", quoted(all))
		}
		if all[0].Detail != "[redacted] and [redacted]" || all[5].Detail != "[redacted]" {
			t.Errorf("stored: %s", quoted(all))
		}
	})
}

// A store that fails is told of once, and gets all of it when it takes events again.
func TestStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		f.err = errors.Newf(errors.ServiceUnavailable, "The disk is full.")
		for n := range 3 {
			f.Write(call(n))
			time.Sleep(trail.BatchAge)
			synctest.Wait()
		}
		if len(f.failed) != 1 || f.failed[0] != f.err {
			t.Errorf("failed: %v", f.failed)
		}
		if err := f.Close(); err != f.err {
			t.Errorf("close: %v", err)
		}
		f.memory.err = nil
		if all := f.close(t); len(all) != 3 || len(f.log) != 3 {
			t.Errorf("%d events are stored, %d in the log", len(all), len(f.log))
		}
	})
}

// What comes too late for the store is in the log.
func TestLateEvent(t *testing.T) {
	t.Parallel()
	f := newFixture("hunter22")
	f.Write(call(1))
	f.close(t)
	f.Write(audit.Event{Detail: "hunter22"})
	if all := f.close(t); len(all) != 1 || len(f.log) != 2 || f.log[1].Detail != "[redacted]" {
		t.Errorf("stored: %v; the log: %v", all, f.log)
	}
}

// BenchmarkWrite is what a call waits for its event.
func BenchmarkWrite(b *testing.B) {
	f := newFixture("hunter22")
	for b.Loop() {
		f.Write(call(1))
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}
