package executor_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/executor/internal/runtime"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/sdk/secret"
)

// The first is stored at once, then one a second, and what was said last always is.
func TestProgressIsStoredOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var stored []string
		p := executor.NewProgress(func(said string) { stored = append(stored, fmt.Sprint(time.Since(begun), " ", said)) })
		for i := range 1_000_000 {
			p.Say(fmt.Sprint(i))
			if i%400_000 == 0 {
				time.Sleep(400 * time.Millisecond)
			}
		}
		time.Sleep(10 * time.Second)
		p.Say("later")
		synctest.Wait()
		p.Say("nobody needs this any more")
		p.End()
		if want := []string{"0s 0", "1s 800000", "2s 999999", "11.2s later"}; !slices.Equal(stored, want) {
			t.Errorf("stored: %q", stored)
		}
	})
}

// told is a store that counts how often progress is written.
type told struct {
	executor.Store
	mu    sync.Mutex
	texts []string
}

func (s *told) SetProgress(ctx context.Context, id string, fence int64, text string) error {
	s.mu.Lock()
	s.texts = append(s.texts, text)
	s.mu.Unlock()
	return s.Store.SetProgress(ctx, id, fence, text)
}

// says is a runtime whose script says how far it is.
type says struct {
	runtime.Runtime
	script func(h runtime.Host)
}

func (s says) Run(_ context.Context, _ runtime.Prepared, _ <-chan struct{}, h runtime.Host) runtime.End {
	if err := h.Started(); err != nil {
		return runtime.End{Err: err}
	}
	s.script(h)
	return runtime.End{}
}

// shows runs a script and returns its execution, and what was stored of how far it was.
func shows(t *testing.T, x domain.Execution, h *home, script func(h runtime.Host)) (domain.Execution, []string) {
	t.Helper()
	counted := &told{Store: h.store}
	h.config.Store = counted
	b := h.start(t, func(e *executor.Executor) {
		e.WrapRuntime(func(r runtime.Runtime) runtime.Runtime { return says{r, script} })
	})
	x = b.run(x)
	b.stop()
	return x, counted.texts
}

// untilProgress waits until the progress of an execution is as the condition says.
func (h *home) untilProgress(t *testing.T, id string, condition func(text string) bool) {
	t.Helper()
	h.until(t, id, func(x domain.Execution) bool {
		p, err := h.store.Progress(context.Background(), id)
		if err != nil || x.State.Final() {
			t.Fatal("the execution has ended:", err)
		}
		return condition(p.Text)
	})
}

func TestProgressOfAMillion(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	x := execution(1, "x", "Test-Nothing")
	begun := time.Now()
	x, stored := shows(t, x, h, func(host runtime.Host) {
		for i := range 1_000_000 {
			host.Progress(fmt.Sprint(i))
		}
		h.untilProgress(t, x.ID, func(text string) bool { return text == "999999" })
	})
	wantSucceeded(t, x)
	if most := int(time.Since(begun)/time.Second) + 2; len(stored) > most {
		t.Errorf("%d writes, at most %d were to be", len(stored), most)
	}
	if p, err := h.store.Progress(t.Context(), x.ID); err != nil || p.Text != "" {
		t.Errorf("after the end it shows %q (%v)", p.Text, err)
	}
	if records := h.records(t, x.ID); len(records) > 0 {
		t.Errorf("there are %d records", len(records))
	}
	if strings.Contains(string(h.log.text()), "999999") || len(h.trail.of(x.ID)) != 3 {
		t.Errorf("the audit has %q, the log:\n%s", h.trail.of(x.ID), h.log.text())
	}
}

// What is shown has no secrets in it, also those that became known only later, and is a short line.
func TestProgressIsPresentable(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	x := execution(1, "x", "Test-Nothing")
	if err := h.secure(&x, "Secret", "the-canary-value"); err != nil {
		t.Fatal(err)
	}
	made := secret.New("made-by-the-script")
	x, stored := shows(t, x, h, func(host runtime.Host) {
		for said, shown := range map[string]string{
			"copying with the-canary-value\n\tto\x1b[2J disk":               "copying with [redacted] to\x1b[2J disk",
			strings.Repeat("x", 10_000):                                     strings.Repeat("x", 197) + "…",
			strings.Repeat(" ", 4_090) + "the-canary-value, cut to the-can": "[redacted]",
			"": "",
		} {
			host.Progress(said)
			h.untilProgress(t, x.ID, func(text string) bool { return text == shown })
		}
		host.Progress("with made-by-the-script")
		h.untilProgress(t, x.ID, func(text string) bool { return text == "with made-by-the-script" })
		host.SetSecret("made", &made)
		h.untilProgress(t, x.ID, func(text string) bool { return text == "with [redacted]" })
	})
	wantSucceeded(t, x)
	for _, text := range stored {
		if strings.Contains(text, "canary") {
			t.Errorf("stored: %q", text)
		}
	}
}

func BenchmarkProgress(b *testing.B) {
	p := executor.NewProgress(func(string) {})
	defer p.End()
	b.ReportAllocs()
	for b.Loop() {
		p.Say("copying 3 of 7: vmdk of machine 42")
	}
}
