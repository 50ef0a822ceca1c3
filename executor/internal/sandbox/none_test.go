package sandbox_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/airlock-run/airlock/executor/internal/sandbox"
	"github.com/airlock-run/airlock/executor/internal/sandboxtest"
)

var none = sandboxtest.Suite{Name: "none", Children: true, Open: func() (sandbox.Sandbox, error) { return sandbox.NewNone() }}

func TestNone(t *testing.T) { sandboxtest.Run(t, none) }

// A record can name a pid that has become somebody else's.
func TestRecoverLeavesOthersAlone(t *testing.T) {
	other := exec.Command("sleep", "1000")
	other.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = other.Process.Kill()
		_ = other.Wait()
	}()
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", other.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	start := strings.Fields(string(stat))[21]
	dir := filepath.Join(t.TempDir(), "x")
	none, err := sandbox.NewNone()
	if err != nil {
		t.Fatal(err)
	}
	defer none.Close()
	recover := func(pid int, start, boot string) {
		t.Helper()
		line := fmt.Sprintf("%d %s %s\n", pid, start, boot)
		if err := os.WriteFile(dir+".processes", []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := none.Recover(dir); err != nil {
			t.Fatal(err)
		}
	}
	alive := func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", other.Process.Pid))
		return err == nil && !strings.Contains(string(stat), ") Z ")
	}
	id := strings.TrimSpace(string(boot))
	recover(other.Process.Pid, start+"1", id)
	recover(other.Process.Pid, "1", id)
	recover(other.Process.Pid, start, "another-boot")
	recover(0, "0", id)
	if !alive() {
		t.Fatal("a process was killed that only had the same pid")
	}
	recover(other.Process.Pid, start, id)
	if alive() {
		t.Error("the recorded process was not killed")
	}
}
