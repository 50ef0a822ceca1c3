package cli

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/airlock-run/airlock/executor"
)

// wantIsolation skips a test on a machine that has none.
func wantIsolation(t *testing.T) {
	t.Helper()
	if isolation() == executor.IsolationNone {
		t.Skip("this machine cannot isolate scripts; airlock doctor says why")
	}
}

// TestKilledServer in short, with scripts in rooms: kill -9 while each private cloud has an execution that runs and
// others that wait. With the server everything in its rooms ends; after the start what ran is Failed and has not run
// again, and what waited runs once each, in order.
func TestKilledServerIsolated(t *testing.T) {
	t.Parallel()
	wantIsolation(t)
	rounds := 1
	if slow() {
		rounds = 10
	}
	dir := stateDir(t)
	args := []string{"--clouds", "2", "--package", nupkg(t, "torture")}
	want := map[string]bool{}
	for round := range rounds {
		p := serveDev(t, dir, args...)
		for cloud := 1; cloud <= 2; cloud++ {
			p.put(t, cloud, fmt.Sprintf("r%d-0", round), torture(cloud, "Write-Log", "Milliseconds=250000"))
			for n := 1; n <= 3; n++ {
				p.put(t, cloud, fmt.Sprintf("r%d-%d", round, n), torture(cloud, "Write-Log", "Milliseconds=1"))
			}
			secret := fmt.Sprintf("s-%d-%d", cloud, round)
			p.put(t, cloud, fmt.Sprintf("r%d-4", round), torture(cloud, "New-Secret", "Name="+secret, "Reversed=terces-a-si-siht"))
			want[secret] = true
		}
		for cloud := 1; cloud <= 2; cloud++ {
			p.started(t, cloud, fmt.Sprintf("r%d-0", round))
		}
		if running := scriptsOf(t, dir); len(running) != 2 {
			t.Fatalf("two scripts run, but their processes are %v", running)
		}
		p.kill9()
		for ended := time.Now().Add(patience); len(scriptsOf(t, dir)) > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(ended) {
				t.Fatal("scripts outlive their server")
			}
		}

		p = serveDev(t, dir, args...)
		for cloud := 1; cloud <= 2; cloud++ {
			p.checkIsolatedRound(t, cloud, round)
		}
		p.stop(t)
	}
	checkSecrets(t, dir, want)
}

func (p *process) checkIsolatedRound(t *testing.T, cloud, round int) {
	t.Helper()
	var starts []int64
	for n := range 5 {
		name := fmt.Sprintf("r%d-%d", round, n)
		x := p.ended(t, cloud, name)
		lines := x.notes()
		switch {
		case n == 0:
			if x.ProvisioningState != "Failed" || x.FailureCode != "ExecutorLost" || len(lines) != 1 || lines[0].what != "start" {
				t.Errorf("%s of cloud %d ran when the server died: %s %s, it wrote %v", name, cloud, x.ProvisioningState, x.FailureCode, lines)
			}
		case x.ProvisioningState != "Succeeded":
			t.Errorf("%s of cloud %d: %s, %s", name, cloud, x.ProvisioningState, x.FailureReason)
		case n < 4 && (len(lines) != 2 || lines[0].what != "start" || lines[1].what != "end"):
			t.Errorf("%s of cloud %d wrote %v", name, cloud, lines)
		}
		if len(lines) > 0 {
			starts = append(starts, lines[0].at)
		}
	}
	if !slices.IsSorted(starts) {
		t.Errorf("cloud %d: what waited did not run in order: %v", cloud, starts)
	}
}

// TestOneAtATimeInOrder in short, with scripts in rooms, which tell their times in their output.
func TestOneAtATimeInOrderIsolated(t *testing.T) {
	t.Parallel()
	wantIsolation(t)
	const clients, each, clouds = 4, 10, 2
	p := serveDev(t, stateDir(t), "--clouds", fmt.Sprint(clouds+1), "--package", nupkg(t, "torture"))
	p.put(t, clouds+1, "beside", torture(clouds+1, "Write-Log", "Milliseconds=250000")) // while all others run
	p.started(t, clouds+1, "beside")
	var mu sync.Mutex
	spans := map[string]*span{}
	var all sync.WaitGroup
	for client := range clients {
		all.Go(func() {
			for n := range each {
				name, s := fmt.Sprintf("x-%d-%d", client, n), &span{cloud: 1 + n%clouds}
				s.sent = time.Now().UnixNano()
				p.put(t, s.cloud, name, torture(s.cloud, "Write-Log", "Milliseconds=2"))
				s.answered = time.Now().UnixNano()
				mu.Lock()
				spans[name] = s
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for name, s := range spans {
		x := p.ended(t, s.cloud, name)
		lines := x.notes()
		if x.ProvisioningState != "Succeeded" || len(lines) != 2 || lines[0].name != name || lines[1].what != "end" {
			t.Fatalf("%s: %s, %s; it wrote %v", name, x.ProvisioningState, x.FailureReason, lines)
		}
		s.started, s.ended = lines[0].at, lines[1].at
	}
	if _, err := p.do(t.Context(), http.MethodPost, cloudPath(clouds+1)+"/scriptExecutions/beside/cancel", nil, nil); err != nil {
		t.Fatal(err)
	}
	beside := p.ended(t, clouds+1, "beside").notes()
	if len(beside) != 2 {
		t.Fatalf("what ran beside them wrote %v", beside)
	}
	spans["beside"] = &span{cloud: clouds + 1, started: beside[0].at, ended: beside[1].at}
	checkOrder(t, spans, clouds, 100)
}
