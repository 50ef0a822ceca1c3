package cli

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// span is one script's run by its own clock, and its PUT by the client's, in nanoseconds since 1970.
type span struct {
	cloud          int
	sent, answered int64
	started, ended int64
}

// 200 executions over 5 private clouds, submitted by 8 clients at once: one at a time per private cloud, in the order
// of submission, and private clouds side by side.
func TestOneAtATimeInOrder(t *testing.T) {
	t.Parallel()
	const clients, each, clouds = 8, 25, 5
	p := serveDev(t, stateDir(t), notIsolated, "--clouds", fmt.Sprint(clouds), "--package", nupkg(t, "torture"))
	j := newJournal(t)

	var mu sync.Mutex
	spans := map[string]*span{}
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			for n := range each {
				name, s := fmt.Sprintf("x-%d-%d", client, n), &span{cloud: 1 + rand.IntN(clouds)}
				s.sent = time.Now().UnixNano()
				p.put(t, s.cloud, name, torture(s.cloud, "Write-Log", "File="+j.path, "Milliseconds=2"))
				s.answered = time.Now().UnixNano()
				mu.Lock()
				spans[name] = s
				mu.Unlock()
			}
		})
	}
	var lines []line
	for range 2 * clients * each {
		lines = append(lines, j.next(t))
	}
	wg.Wait()
	for _, l := range lines {
		if s := spans[l.name]; l.what == "start" && s.started == 0 {
			s.started = l.at
		} else if l.what == "end" && s.ended == 0 {
			s.ended = l.at
		} else {
			t.Errorf("%s: a second %s", l.name, l.what)
		}
	}

	for name, s := range spans {
		if x := p.ended(t, s.cloud, name); x.ProvisioningState != "Succeeded" {
			t.Errorf("%s: %s, %s", name, x.ProvisioningState, x.FailureReason)
		}
	}
	checkOrder(t, spans, clouds, 500)
}

// checkOrder wants at least so many pairs of which one was answered before the other was sent.
func checkOrder(t *testing.T, spans map[string]*span, clouds, least int) {
	t.Helper()
	pairs, sideBySide := 0, 0
	for name, a := range spans {
		for other, b := range spans {
			switch {
			case a.cloud == b.cloud && a.answered < b.sent:
				if pairs++; a.started >= b.started {
					t.Errorf("cloud %d: %s was answered before %s was sent, but started after it", a.cloud, name, other)
				}
			case a.cloud != b.cloud && a.started < b.started && b.started < a.ended:
				sideBySide++
			}
		}
	}
	for cloud := 1; cloud <= clouds; cloud++ {
		var runs []*span
		for _, s := range spans {
			if s.cloud == cloud {
				runs = append(runs, s)
			}
		}
		slices.SortFunc(runs, func(a, b *span) int { return cmp.Compare(a.started, b.started) })
		for k := 1; k < len(runs); k++ {
			if runs[k].started < runs[k-1].ended {
				t.Errorf("cloud %d: two executions overlap", cloud)
			}
		}
	}
	if pairs < least || sideBySide == 0 {
		t.Errorf("%d ordered pairs and %d runs side by side: the test has shown nothing", pairs, sideBySide)
	}
	t.Logf("%d executions, %d ordered pairs, %d pairs side by side on other clouds", len(spans), pairs, sideBySide)
}
