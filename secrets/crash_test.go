package secrets_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/airlock-run/airlock/internal/seal"
	"github.com/airlock-run/airlock/secrets"
	"github.com/airlock-run/airlock/secrets/secretstest"
)

// crashDir names the directory in which this test's program, started by itself, writes until it is killed.
const crashDir = "SECRETS_TEST_CRASH_DIR"

// crashPackages have their secrets written side by side, so that a kill meets each at another place.
var crashPackages = []string{"A", "B", "C", "D"}

// writeForever sets two secrets of each package to the same number, ever higher, and says what is stored.
func writeForever(t *testing.T, dir string) {
	s := openForCrash(t, dir)
	var all sync.WaitGroup
	for _, pkg := range crashPackages {
		all.Go(func() {
			for i := 1; ; i++ {
				n := strconv.Itoa(i)
				if err := s.Write(t.Context(), secretstest.Cloud("a"), pkg, "1.0.0", secretstest.Set("one", n, "two", n)); err != nil {
					panic(err)
				}
				fmt.Println(pkg)
			}
		})
	}
	all.Wait()
}

func openForCrash(t *testing.T, dir string) *secrets.File {
	t.Helper()
	key, err := seal.LoadOrCreate(filepath.Join(dir, "keys", "key"))
	if err != nil {
		t.Fatal(err)
	}
	return open(t, filepath.Join(dir, "secrets"), key)
}

// TestFileAfterAKill kills a process in the middle of its writes: what it said is stored, and never a half.
func TestFileAfterAKill(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		writeForever(t, dir)
	}
	t.Parallel()
	for round := range 12 {
		dir := t.TempDir()
		cmd := exec.Command(os.Args[0], "-test.run=^TestFileAfterAKill$")
		cmd.Env = append(os.Environ(), crashDir+"="+dir, "TMPDIR="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said, lines := map[string]int{}, bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if !slices.Contains(crashPackages, lines.Text()) {
				t.Fatalf("it said %s", lines.Text())
			}
			if said[lines.Text()]++; n == round {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // says that it was killed
		s := openForCrash(t, dir)
		for _, pkg := range crashPackages {
			got, err := s.Read(t.Context(), secretstest.Cloud("a"), pkg)
			one, two := got["one"].Reveal(), got["two"].Reveal()
			if n, _ := strconv.Atoi(one); err != nil || one != two || n < said[pkg] || n > said[pkg]+1 {
				t.Errorf("%s: %d were said to be stored, and there are %q and %q, %v", pkg, said[pkg], one, two, err)
			}
		}
		left, err := filepath.Glob(filepath.Join(dir, "secrets", ".tmp-*"))
		if err != nil || len(left) > 0 {
			t.Errorf("%v was left, %v", left, err)
		}
	}
}
