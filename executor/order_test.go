package executor_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
)

// event is a line of the scripts' own log.
type event struct {
	start       bool
	cloud, name string
	pid, child  int
}

func readLog(t *testing.T, path string) (events []event) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var e event
		var what string
		if n, err := fmt.Sscan(line, &what, &e.cloud, &e.name, &e.pid, &e.child); n != 5 {
			t.Fatalf("the log's line %q: %v", line, err)
		}
		e.start = what == "start"
		events = append(events, e)
	}
	return events
}

// wantOneAtATime checks that no two executions of a private cloud overlap, and returns the most that ran at once over
// all of them. Where died is true an execution may have ended without a word.
func wantOneAtATime(t *testing.T, events []event, died map[string]bool) (most int) {
	t.Helper()
	running := map[string]string{}
	for _, e := range events {
		if at := running[e.cloud]; e.start && at != "" && !died[at] {
			t.Errorf("%s of %s started while %s ran", e.name, e.cloud, at)
		} else if !e.start && at != e.name {
			t.Errorf("%s of %s ended while %q ran", e.name, e.cloud, at)
		}
		if delete(running, e.cloud); e.start {
			running[e.cloud] = e.name
		}
		most = max(most, len(running))
	}
	return most
}

// 200 executions over 5 private clouds, submitted by 8 clients at once.
func TestOrderOfSubmission(t *testing.T) {
	t.Parallel()
	const clouds, clients, each = 5, 8, 25
	b := newHome(t).start(t)
	log := filepath.Join(t.TempDir(), "log")
	for n := range clouds {
		if err := b.addCloud(n); err != nil {
			t.Fatal(err)
		}
	}
	type submission struct {
		x              domain.Execution
		sent, answered int64 // of one clock
	}
	var clock atomic.Int64
	submissions := make([]submission, clients*each)
	var all sync.WaitGroup
	for client := range clients {
		all.Go(func() {
			for i := range each {
				n := client*each + i
				s := submission{x: execution((client+i)%clouds, fmt.Sprintf("x%d", n), "Write-Log", "Log", log, "Milliseconds", "2")}
				s.sent = clock.Add(1)
				if _, _, err := b.store.Submit(context.Background(), s.x); err != nil {
					t.Error(err)
				}
				s.answered = clock.Add(1)
				submissions[n] = s
			}
		})
	}
	all.Wait()
	for _, s := range submissions {
		wantSucceeded(t, b.until(t, s.x.ID, final))
	}
	events := readLog(t, log)
	if most := wantOneAtATime(t, events, nil); most < 2 {
		t.Errorf("at most %d ran at once", most)
	}
	started := map[string]int{}
	for i, e := range events {
		if _, twice := started[e.name]; e.start && twice {
			t.Errorf("%s ran twice", e.name)
		} else if e.start {
			started[e.name] = i
		}
	}
	if len(started) != len(submissions) {
		t.Errorf("%d of %d ran", len(started), len(submissions))
	}
	for _, a := range submissions {
		for _, b := range submissions {
			if a.x.Cloud == b.x.Cloud && a.answered < b.sent && started[a.x.Name] > started[b.x.Name] {
				t.Errorf("%s was accepted before %s was sent, and started after it", a.x.Name, b.x.Name)
			}
		}
	}
}
