package cli

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/internal/durable"
	"github.com/airlock-run/airlock/internal/errors"
)

// check is one thing that doctor has looked at.
type check struct {
	Name   string `json:"name"`
	Found  bool   `json:"found"`
	Needed bool   `json:"needed"` // a server does not start without it, or does not work
	Lost   string `json:"lost"`   // without it
	Fix    string `json:"fix"`
}

func (a *app) doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine has, and lacks, for a server that isolates scripts",
		Long: `Say what this machine has, and lacks, for a server that isolates scripts: what of the kernel is there for this user, what
is lost without it and how to get it, whether the state directory can be used, and which PowerShell a server would run, which it
starts for that. It changes nothing. The exit code is 0 if everything that is needed is there.`,
		Args: cobra.NoArgs,
	}
	dir := cmd.Flags().String("state", "", "state directory of the server (default: $XDG_STATE_HOME/airlock)")
	pwsh := cmd.Flags().String("powershell", "", "pwsh to try (default: what AIRLOCK_PWSH names, else the first in PATH and in the usual places)")
	cmd.RunE = does(func(ctx context.Context, _ []string) error {
		state, err := a.stateDir(*dir)
		if err != nil {
			return err
		}
		var checks []check
		for _, f := range executor.Features(ctx) {
			checks = append(checks, check(f))
		}
		checks = append(checks, stateChecks(state)...)
		return a.report(append(checks, a.powershellCheck(ctx, *pwsh)))
	})
	return cmd
}

// report prints the checks. What is needed and not there is an error.
func (a *app) report(checks []check) error {
	var missing []string
	for _, c := range checks {
		if c.Needed && !c.Found {
			missing = append(missing, c.Name)
		}
	}
	print := a.printChecks
	if a.output == "json" {
		print = func(checks []check) error { return a.printJSON(checks) }
	}
	if err := print(checks); err != nil {
		return err
	}
	if len(missing) > 0 {
		return errors.Newf(errors.Usage, "This machine lacks what a server needs: %s.", strings.Join(missing, ", "))
	}
	return nil
}

func (a *app) printChecks(checks []check) error {
	var rows [][]string
	for _, c := range checks {
		found, needed := "found", "needed"
		if !c.Found {
			found = "MISSING"
		}
		if !c.Needed {
			needed = "useful"
		}
		rows = append(rows, []string{found, needed, c.Name, c.Lost})
	}
	if err := a.printTable([]string{"", "", "FEATURE", "WITHOUT IT"}, rows); err != nil {
		return err
	}
	var fixes []string // each once: much of what is missing is often missing for one reason
	names := map[string][]string{}
	for _, c := range checks {
		if c.Found {
			continue
		}
		if names[c.Fix] == nil {
			fixes = append(fixes, c.Fix)
		}
		names[c.Fix] = append(names[c.Fix], c.Name)
	}
	for _, fix := range fixes {
		fmt.Fprintf(a.stdout, "\n%s\n  %s\n", strings.Join(names[fix], ", "), fix)
	}
	return nil
}

// leastSpace is what a state directory should have free: logs, output and packages, without work directories.
const leastSpace = 1 << 30

// networkFS are the magic numbers of file systems over a network (statfs(2)): NFS, SMB, CIFS, SMB2, 9P, Ceph.
var networkFS = []int64{0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x01021997, 0x00c36400}

// stateChecks looks at the state directory, or where it is missing at the directory in which it would be made.
func stateChecks(dir string) []check {
	private := check{Name: "state directory " + dir, Needed: true, Lost: "the server does not start"}
	at := dir
	switch err := durable.CheckPrivateDir(dir); {
	case err == nil:
		private.Found = unix.Access(dir, unix.W_OK|unix.X_OK) == nil
		private.Fix = "let this user write into it"
	case errors.Is(err, fs.ErrNotExist):
		at = nearest(dir)
		private.Found = unix.Access(at, unix.W_OK|unix.X_OK) == nil
		private.Fix = fmt.Sprintf("let this user make it, which has no right to write into %s, or choose another with --state", at)
	default:
		private.Fix = err.Error()
	}
	checks := []check{private}
	var st unix.Statfs_t
	if err := unix.Statfs(at, &st); err != nil {
		return checks
	}
	return append(checks,
		check{"state on a local file system", !slices.Contains(networkFS, int64(st.Type)), true, "the database breaks, for its log needs memory that is shared through the file system",
			"choose a --state on a disk of this machine"},
		check{"state on a file system that allows programs", st.Flags&unix.ST_NOEXEC == 0, true, "packages cannot be run from it",
			"mount it without noexec, or choose another --state"},
		check{fmt.Sprintf("%d GiB free for the state", leastSpace>>30), st.Bavail*uint64(st.Bsize) >= leastSpace, false, "a full disk stops all executions",
			"make room, or choose a --state on another disk"},
	)
}

// nearest is the closest directory above path that is there.
func nearest(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}
