package executor_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
)

// serverName is the name under which the test binary runs as a server that is to be killed.
const serverName = "airlock-test-server"

// What the server that is killed has to do.
const crashClouds, crashExecutions = 2, 8

// moments counts what happens in the server, and stops it at one of them, to be killed just there.
type moments struct {
	mu   sync.Mutex
	left int
}

func (m *moments) pass(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left--; m.left == 0 {
		fmt.Println("now:", what)
		select {} // all that happens comes through here, and stands still
	}
}

func (m *moments) Write(_ context.Context, e audit.Event) { m.pass(e.Action) }

type countedStore struct {
	executor.Store
	*moments
}

func (s countedStore) Seal(ctx context.Context, id string, fence int64, intent []byte) error {
	s.pass("before the intent")
	defer s.pass("after the intent")
	return s.Store.Seal(ctx, id, fence, intent)
}

func (s countedStore) AppendAudit(ctx context.Context, id string, fence int64, events []audit.Event) error {
	err := s.Store.AppendAudit(ctx, id, fence, events)
	if err == nil {
		fmt.Println("audited", id, events[len(events)-1].Seq)
	}
	return err
}

func (s countedStore) Finish(ctx context.Context, id string, fence int64, o domain.Outcome) error {
	s.pass("before the final state")
	return s.Store.Finish(ctx, id, fence, o)
}

type countedSecrets struct {
	executor.Secrets
	*moments
}

func (s countedSecrets) Write(ctx context.Context, cloud domain.CloudID, pkg, version string, changes map[string]*secret.Text) error {
	defer s.pass("after the secrets")
	return s.Secrets.Write(ctx, cloud, pkg, version, changes)
}

// serve submits executions and carries them out until it is killed at the moment that it was told.
func serve() {
	dir, pkg := os.Args[1], os.Args[2]
	moment, err := strconv.Atoi(os.Args[3])
	if err != nil {
		panic(err)
	}
	h, err := openHome(dir, pkg)
	if err != nil {
		panic(err)
	}
	m := &moments{left: moment}
	h.config.Store, h.config.Secrets, h.config.Audit = countedStore{h.store, m}, countedSecrets{h.secrets, m}, m
	for n := range crashClouds {
		if err := h.addCloud(n); err != nil {
			panic(err)
		}
	}
	go func() {
		for i := range crashExecutions {
			x := execution(i%crashClouds, fmt.Sprint("x", i), "Write-LogAndSecret", "Log", filepath.Join(dir, "log"), "Milliseconds", "5")
			if _, _, err := h.store.Submit(context.Background(), x); err != nil {
				panic(err)
			}
			fmt.Println("accepted", x.ID)
			m.pass("submit")
		}
	}()
	panic(executor.New(h.config).Run(context.Background()))
}

func TestKilled(t *testing.T) {
	t.Parallel()
	server := filepath.Join(t.TempDir(), serverName)
	data, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(server, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		t.Run(fmt.Sprint("moment ", 1+2*i), func(t *testing.T) {
			t.Parallel()
			testKilledAt(t, server, 1+2*i)
		})
	}
}

func testKilledAt(t *testing.T, server string, moment int) {
	dir := t.TempDir()
	accepted, audited := runUntilKilled(t, exec.Command(server, dir, packageDir, strconv.Itoa(moment)))
	before := readLog(t, filepath.Join(dir, "log"))

	h, err := openHome(dir, packageDir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.close(t) })
	h.start(t)
	states := map[string]domain.Execution{}
	lost := map[string]bool{}
	for _, id := range h.all(t, accepted) {
		x := h.until(t, id, final)
		states[x.Name] = x
		if x.State == domain.Succeeded {
			continue
		}
		wantFailed(t, x, errors.ExecutorLost)
		lost[x.Name] = true
	}
	if len(lost) > crashClouds {
		t.Errorf("%d executions were lost, of at most %d that ran", len(lost), crashClouds)
	}
	for _, e := range before {
		for _, pid := range []int{e.pid, e.child} {
			if running(pid) {
				t.Errorf("the process %d of %s is left", pid, e.name)
			}
		}
	}

	events := readLog(t, filepath.Join(dir, "log"))
	wantOneAtATime(t, events, lost)
	starts, last := map[string]int{}, map[string]string{}
	for _, e := range events {
		if !e.start {
			continue
		}
		starts[e.name]++
		if e.name < last[e.cloud] {
			t.Errorf("%s started after %s", e.name, last[e.cloud])
		}
		last[e.cloud] = e.name
	}
	kept := []map[string]string{h.kept(t, 0), h.kept(t, 1)}
	for name, x := range states {
		if n := starts[name]; n > 1 || n == 0 && !lost[name] {
			t.Errorf("%s, which is %s, ran %d times", name, x.State, n)
		}
		if value, ok := kept[cloudNumber(x.Cloud)][name]; ok != (x.State == domain.Succeeded) || ok && value != x.ID {
			t.Errorf("%s is %s, and its secret is %q", name, x.State, value)
		}
	}
	h.wantNothingLeft(t)
	for id, last := range audited {
		events, err := h.store.Audit(context.Background(), id, 0, 1000)
		if err != nil || len(events) < last || events[0].Action != "sessions/open" {
			t.Errorf("of the %d stored audit events of %s there are %+v (%v)", last, id, events, err)
		}
	}
}

// all lists the executions that there are: all that were accepted, and perhaps one whose acceptance was not heard of.
func (h *home) all(t *testing.T, accepted []string) (ids []string) {
	t.Helper()
	for n := range crashClouds {
		page, _, err := h.store.Executions(context.Background(), cloud(n), "", crashExecutions)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range page {
			ids = append(ids, x.ID)
		}
	}
	for _, id := range accepted {
		if !slices.Contains(ids, id) {
			t.Errorf("%s was accepted and is gone", id)
		}
	}
	return ids
}

// runUntilKilled runs the server to its moment and kills it there. It returns what the server had accepted, and the last
// audit event that it had stored of each.
func runUntilKilled(t *testing.T, server *exec.Cmd) (accepted []string, audited map[string]int) {
	t.Helper()
	audited = map[string]int{}
	server.Stderr = os.Stderr
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if id, ok := strings.CutPrefix(lines.Text(), "accepted "); ok {
			accepted = append(accepted, id)
		}
		if event, ok := strings.CutPrefix(lines.Text(), "audited "); ok {
			id, seq, _ := strings.Cut(event, " ")
			audited[id], _ = strconv.Atoi(seq)
		}
		if what, ok := strings.CutPrefix(lines.Text(), "now: "); ok {
			t.Log("killed at:", what)
			break
		}
	}
	if err := server.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, out)
	_ = server.Wait()
	return accepted, audited
}
