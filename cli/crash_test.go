package cli

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/seal"
	"github.com/airlock-run/airlock/secrets"
)

// submitted is an execution of a crash round.
type submitted struct {
	cloud   int
	name    string
	secret  string // that it makes, "" for none
	started bool   // before the kill, by its own word
	ended   bool
	after   bool // started after the kill
}

// kill -9 of the server with executions running and waiting, at different moments, then a start: what ran is Failed
// (ExecutorLost) and did not run again, what waited runs in order, nothing of the old processes is left, and secrets
// and states agree.
func TestKilledServer(t *testing.T) {
	t.Parallel()
	rounds := 3
	if slow() {
		rounds = 20
	}
	dir, j := stateDir(t), newJournal(t)
	args := []string{notIsolated, "--clouds", "2", "--package", nupkg(t, "torture")}
	want := map[string]bool{} // secrets by name: whether it is to be there
	lost := 0
	for round := range rounds {
		p := serveDev(t, dir, args...)
		all := p.submitRound(t, round, j)
		// The moment: after so many lines of the journal, and a little more by chance.
		for range round % 8 {
			note(t, all, j.next(t), false)
		}
		<-time.After(time.Duration(rand.Int64N(int64(10 * time.Millisecond))))
		p.kill9()

		p = serveDev(t, dir, args...)
		lost += p.checkRound(t, all, j, want)
		if left := scriptsOf(t, dir); len(left) > 0 {
			t.Errorf("round %d: processes are left: %v", round, left)
		}
		p.stop(t)
	}
	if lost == 0 {
		t.Error("no kill met a running execution: the test has shown nothing")
	}
	t.Logf("%d kills, %d executions lost by them", rounds, lost)
	checkSecrets(t, dir, want)
}

// submitRound gives each of two private clouds four executions, of which every second makes a secret.
func (p *process) submitRound(t *testing.T, round int, j *journal) []*submitted {
	t.Helper()
	var all []*submitted
	for n := range 4 {
		for cloud := 1; cloud <= 2; cloud++ {
			x := &submitted{cloud: cloud, name: fmt.Sprintf("r%d-%d", round, n)}
			body := torture(cloud, "Write-Log", "File="+j.path, "Milliseconds=5")
			if n%2 == 1 {
				x.secret = fmt.Sprintf("s-%d-%s", cloud, x.name)
				body = torture(cloud, "New-Secret", "Name="+x.secret, "Reversed=terces-a-si-siht")
			}
			p.put(t, cloud, x.name, body)
			all = append(all, x)
		}
	}
	return all
}

// note enters a line of the journal. Both private clouds have an execution of each name: the line goes to the one
// that it fits.
func note(t *testing.T, all []*submitted, l line, after bool) {
	t.Helper()
	for _, x := range all {
		if x.name != l.name {
			continue
		}
		switch {
		case l.what == "start" && !x.started:
			x.started, x.after = true, after
			return
		case l.what == "end" && x.started && !x.ended:
			x.ended = true
			return
		}
	}
	t.Errorf("the journal has a %s of %s too many: it ran again", l.what, l.name)
}

func (p *process) checkRound(t *testing.T, all []*submitted, j *journal, want map[string]bool) (lost int) {
	t.Helper()
	var finished [3][]time.Time
	for _, x := range all {
		end := p.ended(t, x.cloud, x.name)
		switch {
		case end.ProvisioningState == "Succeeded":
			finished[x.cloud] = append(finished[x.cloud], end.StartedAt)
		case end.ProvisioningState == "Failed" && end.FailureCode == "ExecutorLost" && strings.HasSuffix(end.FailureReason, "."):
			lost++
		default:
			t.Errorf("%s of cloud %d: %s %s: %s", x.name, x.cloud, end.ProvisioningState, end.FailureCode, end.FailureReason)
		}
		if x.secret != "" {
			want[x.secret] = end.ProvisioningState == "Succeeded"
		}
	}
	if lost > 2 {
		t.Errorf("%d executions were lost, but only two can have run", lost)
	}
	for cloud, times := range finished {
		if !slices.IsSortedFunc(times, time.Time.Compare) {
			t.Errorf("cloud %d: what waited did not run in order: %v", cloud, times)
		}
	}
	for len(j.lines) > 0 { // every script has ended: all of its lines are there
		note(t, all, <-j.lines, true)
	}
	return lost
}

// dataKey opens the data key of a state directory.
func dataKey(t *testing.T, dir string) (seal.Key, error) {
	t.Helper()
	return seal.DataKey(t.Context(), filepath.Join(dir, "key.sealed"), seal.Master{File: filepath.Join(dir, "key")}, false, func(seal.Key) error { return nil })
}

// checkSecrets looks into the secret store itself.
func checkSecrets(t *testing.T, dir string, want map[string]bool) {
	t.Helper()
	key, err := dataKey(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	file, err := secrets.OpenFile(filepath.Join(dir, "secrets"), key.Derive("persistent secrets"))
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string]bool{}
	for cloud := 1; cloud <= 2; cloud++ {
		id, err := domain.ParseCloudID(cloudPath(cloud))
		if err != nil {
			t.Fatal(err)
		}
		all, err := file.Read(t.Context(), id, "Airlock.Examples.Torture")
		if err != nil {
			t.Fatal(err)
		}
		for name := range all {
			kept[name] = true
		}
	}
	for name, is := range want {
		if kept[name] != is {
			t.Errorf("the secret %s is kept: %v; its execution has succeeded: %v", name, kept[name], is)
		}
	}
}
