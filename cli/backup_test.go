package cli

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// airlock runs a command as its user does, and returns what it prints.
func airlock(t testing.TB, env []string, args ...string) (output string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(append(os.Environ(), asAirlock+"=1"), env...)
	data, err := cmd.CombinedOutput()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	return string(data), cmd.ProcessState.ExitCode()
}

// mustAirlock runs a command that has to succeed.
func mustAirlock(t testing.TB, args ...string) {
	t.Helper()
	if output, code := airlock(t, nil, args...); code != 0 {
		t.Fatalf("airlock %s: exit code %d\n%s", strings.Join(args, " "), code, output)
	}
}

// A backup is taken while executions run and secrets are made, and restored elsewhere: what had ended is there with all
// that belongs to it, what was running is Failed (ExecutorLost), what waited runs, and secrets and states agree.
func TestBackupWhileExecutionsRun(t *testing.T) {
	t.Parallel()
	dir, j, place := stateDir(t), newJournal(t), t.TempDir()
	p := serveDev(t, dir, notIsolated, "--clouds", "2", "--package", nupkg(t, "torture"))
	before := map[string]execution{}
	want := map[string]bool{}
	for n := range 3 {
		name := fmt.Sprintf("done-%d", n)
		want["s-"+name] = true
		p.put(t, 1, name, torture(1, "New-Secret", "Name=s-"+name, "Reversed=terces-a-si-siht"))
		before[name] = p.ended(t, 1, name)
	}
	p.put(t, 1, "failed", torture(1, "Stop-Hard", "How=exit"))
	before["failed"] = p.ended(t, 1, "failed")
	p.put(t, 1, "running", torture(1, "Write-Log", "File="+j.path, "Milliseconds=50000"))
	p.put(t, 1, "waiting", torture(1, "Write-Log", "File="+j.path, "Milliseconds=1"))
	if l := j.next(t); l.what != "start" || l.name != "running" {
		t.Fatalf("the journal has %v", l)
	}

	// The other private cloud goes on making secrets while backups are taken.
	const many = 12
	for n := range many {
		p.put(t, 2, fmt.Sprintf("busy-%d", n), torture(2, "New-Secret", fmt.Sprintf("Name=s-busy-%d", n), "Reversed=terces-a-si-siht"))
	}
	file := filepath.Join(place, "airlock.backup")
	mustAirlock(t, "backup", "--state", dir, file)
	p.kill9() // the machine is lost

	elsewhere := filepath.Join(place, "elsewhere", "state")
	refuseDamaged(t, file, place)
	mustAirlock(t, "restore", "--state", elsewhere, file)
	q := serveDev(t, elsewhere, notIsolated, "--clouds", "2")
	for name, x := range before {
		got := q.ended(t, 1, name)
		if d := cmp.Diff(x, got, cmp.AllowUnexported(execution{})); d != "" {
			t.Errorf("%s is another one (-before +restored):\n%s", name, d)
		}
		if succeeded := name != "failed"; succeeded != (got.ProvisioningState == "Succeeded") || succeeded && len(got.records) == 0 {
			t.Errorf("%s is %s and has %d records", name, got.ProvisioningState, len(got.records))
		}
	}
	if x := q.ended(t, 1, "running"); x.ProvisioningState != "Failed" || x.FailureCode != "ExecutorLost" {
		t.Errorf("what was running is %s %s", x.ProvisioningState, x.FailureCode)
	}
	if x := q.ended(t, 1, "waiting"); x.ProvisioningState != "Succeeded" {
		t.Errorf("what was waiting is %s %s %s", x.ProvisioningState, x.FailureCode, x.FailureReason)
	}
	lost := 0
	for n := range many {
		x := q.ended(t, 2, fmt.Sprintf("busy-%d", n))
		want[fmt.Sprintf("s-busy-%d", n)] = x.ProvisioningState == "Succeeded"
		if x.ProvisioningState != "Succeeded" {
			lost++
		}
	}
	if lost > 1 {
		t.Errorf("%d executions of one private cloud were running when the backup was taken", lost)
	}
	samePackages(t, q, "Airlock.Examples.Torture@1.0.0")
	q.stop(t)
	checkSecrets(t, elsewhere, want)
	if left := scriptsOf(t, elsewhere); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
	// The other server was killed: its script is an orphan that ends when a server starts there again.
	serveDev(t, dir, notIsolated, "--clouds", "2").stop(t)
}

// samePackages checks that the package is there and has its content.
func samePackages(t *testing.T, p *process, name string) {
	t.Helper()
	all, err := p.list(t.Context(), cloudPath(1)+"/scriptPackages")
	if err != nil || len(all) != 1 || all[0].Name != name {
		t.Errorf("the packages are %v (%v), want %s", all, err, name)
	}
	if _, err := p.do(t.Context(), http.MethodGet, cloudPath(1)+"/scriptPackages/"+name+"/scriptCmdlets/New-Secret", nil, nil); err != nil {
		t.Error(err)
	}
}

// refuseDamaged restores what is left of a backup after some accidents. (cli/internal/backup has all of them.)
func refuseDamaged(t *testing.T, file, place string) {
	t.Helper()
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	flipped := append([]byte(nil), whole...)
	flipped[len(flipped)/2] ^= 1
	for name, data := range map[string][]byte{"empty": {}, "cut": whole[:len(whole)-100], "flipped": flipped, "longer": append(flipped, 0)} {
		damaged, to := filepath.Join(place, name), filepath.Join(place, name+"-state")
		if err := os.WriteFile(damaged, data, 0o600); err != nil {
			t.Fatal(err)
		}
		output, code := airlock(t, nil, "restore", "--state", to, damaged)
		if code != 2 || !strings.Contains(output, "damaged") || !strings.Contains(output, "Nothing was restored.") {
			t.Errorf("a backup that is %s: exit code %d, %s", name, code, output)
		}
		if _, err := os.Lstat(to); !os.IsNotExist(err) {
			t.Errorf("a backup that is %s leaves a state directory (%v)", name, err)
		}
	}
}
