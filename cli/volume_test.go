package cli

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

// A script that writes very many lines on four streams from several goroutines: they come back complete and in one
// order, and the server's memory does not grow with their number.
func TestManyLines(t *testing.T) {
	t.Parallel()
	counts := []int{10_000, 100_000}
	if slow() {
		counts = []int{100_000, 1_000_000}
	}
	p := serveDev(t, stateDir(t), "--package", nupkg(t, "torture"))
	var peak [2]int
	for k, count := range counts {
		name := fmt.Sprintf("lines-%d", count)
		p.put(t, 1, name, torture(1, "Write-Lines", fmt.Sprintf("Count=%d", count)))
		checkLines(t, p, name, count)
		peak[k] = p.peakMemory(t)
	}
	t.Logf("peak resident memory of the server: %d KiB after %d lines, %d KiB after %d lines", peak[0], counts[0], peak[1], counts[1])
	// Ten times the lines. The allowance is for the garbage collector and the race detector, not for lines: 900,000
	// of them have at least 40 MB of text and records.
	if peak[1] > peak[0]*5/4+24<<10 {
		t.Errorf("memory grew from %d to %d KiB", peak[0], peak[1])
	}
}

func checkLines(t *testing.T, p *process, name string, count int) {
	t.Helper()
	streams := [...]string{"Output", "Information", "Warning", "Error"}
	next := map[int]int{}
	seen, seq := 0, int64(0)
	err := p.follow(t.Context(), cloudPath(1)+"/scriptExecutions/"+name, true, func(r record) error {
		var writer, n int
		if _, err := fmt.Sscanf(r.Text, "line %d %d", &writer, &n); err != nil {
			return fmt.Errorf("record %d reads %q", r.Seq, r.Text)
		}
		if r.Seq != seq+1 || n != next[writer] || r.Stream != streams[n%4] {
			return fmt.Errorf("after record %d comes %d, %s %q, expected line %d", seq, r.Seq, r.Stream, r.Text, next[writer])
		}
		seq, next[writer], seen = r.Seq, n+1, seen+1
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if x := p.get(t, name); seen != count || x.ProvisioningState != "Succeeded" || x.NamedOutputs["lines"] != itoa(count) {
		t.Errorf("%s: %d lines of %d, %s %s", name, seen, count, x.ProvisioningState, x.FailureReason)
	}
}

// peakMemory is the server's VmHWM in KiB (proc(5)).
func (p *process) peakMemory(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(status), "VmHWM:")
	var kib int
	if _, err := fmt.Sscan(rest, &kib); !ok || err != nil {
		t.Fatal("no VmHWM")
	}
	return kib
}

// get reads an execution of the first private cloud.
func (p *process) get(t testing.TB, name string) executionProperties {
	t.Helper()
	var r struct{ Properties executionProperties }
	if _, err := p.do(t.Context(), http.MethodGet, cloudPath(1)+"/scriptExecutions/"+name, nil, &r); err != nil {
		t.Fatal(err)
	}
	return r.Properties
}
