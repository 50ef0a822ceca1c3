package packages_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
)

// crashDir names the directory in which this test's program, started by itself, pushes until it is killed.
const crashDir = "PACKAGES_TEST_CRASH_DIR"

// crashNames are packages that are pushed side by side, so that a kill meets each at another place.
var crashNames = []string{"A", "B", "C", "D"}

// pushForever pushes one version of the packages after the other, and says each one that is pushed.
func pushForever(t *testing.T, dir string) {
	r, _ := repositoryIn(t, dir)
	var all sync.WaitGroup
	for _, name := range crashNames {
		all.Go(func() {
			for i := 0; ; i++ {
				p, err := r.PushPath(t.Context(), directory(t, declared(name, fmt.Sprint("1.0.", i)), nil))
				if err != nil {
					panic(err)
				}
				fmt.Println(p.Name)
			}
		})
	}
	all.Wait()
}

// TestRepositoryAfterAKill kills a process in the middle of a push: what it said is there and can be laid out, what it
// did not say can be pushed, and nothing half is left.
func TestRepositoryAfterAKill(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		pushForever(t, dir)
	}
	t.Parallel()
	for round := range 8 {
		dir := t.TempDir()
		said := pushUntilKilled(t, dir, 1+round)
		r, kept := repositoryIn(t, dir)
		list, err := r.List(t.Context(), domain.PrivateCloud{}, true)
		if err != nil {
			t.Fatal(err)
		}
		there := map[string]int{}
		for _, p := range list {
			there[p.Name]++
			if _, err := r.Layout(t.Context(), p.Digest); err != nil {
				t.Error(err)
			}
		}
		for _, name := range crashNames {
			if n := there[name]; n < said[name] || n > said[name]+1 {
				t.Errorf("of %s %d versions were pushed, and %d are there", name, said[name], n)
			}
			push(t, r, name, fmt.Sprint("1.0.", there[name]))
		}
		for _, f := range files(t, kept) {
			if strings.Contains(f, ".tmp-") {
				t.Errorf("%s was left", f)
			}
		}
	}
}

// pushUntilKilled runs pushForever, kills it after so many pushes, and counts the pushes by package.
func pushUntilKilled(t *testing.T, dir string, pushes int) (said map[string]int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestRepositoryAfterAKill$")
	cmd.Env = append(os.Environ(), crashDir+"="+dir, "TMPDIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said = map[string]int{}
	lines := bufio.NewScanner(out)
	for n := 1; lines.Scan(); n++ {
		if !slices.Contains(crashNames, lines.Text()) {
			t.Fatalf("it said %s", lines.Text())
		}
		if said[lines.Text()]++; n == pushes {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // says that it was killed
	return said
}
