package store

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// children are what this test binary does instead of testing, when a test runs it as a process of its own.
var children = map[string]func(){"work": work, "disk": fillDisk}

const (
	childRole = "AIRLOCK_STORE_TEST_CHILD"
	childPath = "AIRLOCK_STORE_TEST_PATH"
)

func child(t *testing.T, role, path string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	ok(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childRole+"="+role, childPath+"="+path)
	cmd.Stderr = os.Stderr
	return cmd
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
}

const (
	crashClouds = 3
	crashRounds = 8
)

// work submits, claims and finishes until it is killed. It says what it knows to be durable.
func work() {
	ctx := context.Background()
	s, err := Open(ctx, Config{Path: os.Getenv(childPath), Key: testKey})
	check(err)
	for n := range crashClouds {
		check(s.PutPrivateCloud(ctx, cloud(n)))
	}
	lost, err := s.Recover(ctx)
	check(err)
	for _, l := range lost {
		fmt.Println("lost", l.Claim.Execution.ID)
		if l.Intent != nil {
			check(s.Finish(ctx, l.Claim.Execution.ID, l.Claim.Fence, domain.Outcome{State: domain.Succeeded}))
		}
	}
	for n := range crashClouds {
		go func() {
			for { // one after another, so that the times are in the order of submission
				x := execution(cloudID(n), newID())
				x.Submitted = time.Now()
				_, _, err := s.Submit(ctx, x)
				if errors.Has(err, errors.TooManyRequests) {
					continue
				}
				check(err)
				fmt.Println("accepted", x.ID)
			}
		}()
	}
	for {
		claims, err := s.Claim(ctx, "node", crashClouds)
		check(err)
		var all sync.WaitGroup
		for _, c := range claims {
			all.Go(func() { run(ctx, s, c) })
		}
		all.Wait()
	}
}

func run(ctx context.Context, s *Store, c domain.Claim) {
	id := c.Execution.ID
	fmt.Println("claimed", id)
	check(s.Start(ctx, id, c.Fence))
	check(s.Append(ctx, id, c.Fence, lines(1, domain.Output, "ran")))
	if rand.IntN(2) == 0 {
		check(s.Seal(ctx, id, c.Fence, []byte("intent")))
		fmt.Println("sealed", id)
	}
	check(s.Finish(ctx, id, c.Fence, domain.Outcome{State: domain.Succeeded}))
	fmt.Println("finished", id)
}

func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	said := map[string]map[string]int{}
	for round := range crashRounds {
		live(t, path, 1+rand.IntN(150), said)
		s, err := Open(t.Context(), Config{Path: path})
		ok(t, err)
		verify(t, s, said)
		if round == crashRounds-1 {
			drain(t, s, said)
		}
		ok(t, s.Close())
	}
	t.Logf("accepted %d, claimed %d, sealed %d, lost %d", len(said["accepted"]), len(said["claimed"]), len(said["sealed"]), len(said["lost"]))
}

// live starts a child, kills it when it has said some things, and notes all that it has said.
func live(t *testing.T, path string, things int, said map[string]map[string]int) {
	t.Helper()
	cmd := child(t, "work", path)
	out, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, cmd.Start())
	for lines := bufio.NewScanner(out); lines.Scan(); {
		word, id, whole := strings.Cut(lines.Text(), " ")
		if things--; things == 0 {
			ok(t, cmd.Process.Kill())
		}
		if !whole || len(id) != len(newID()) { // cut off by the kill
			continue
		}
		if said[word] == nil {
			said[word] = map[string]int{}
		}
		said[word][id]++
	}
	if err := cmd.Wait(); err == nil || things > 0 {
		t.Fatalf("the child ended by itself: %v", err)
	}
}

// verify holds what is stored against what was said.
func verify(t *testing.T, s *Store, said map[string]map[string]int) {
	t.Helper()
	running := map[domain.CloudID]int{}
	for id := range said["accepted"] {
		x, err := s.ExecutionByID(t.Context(), id)
		ok(t, err)
		_, claimed := said["claimed"][id]
		_, finished := said["finished"][id]
		_, sealed := said["sealed"][id]
		switch {
		case x.State == domain.Running:
			running[x.Cloud]++
		case x.State == domain.Pending && claimed, !x.State.Final() && finished, sealed && x.State == domain.Failed:
			t.Errorf("%s is %s; claimed %v, finished %v, sealed %v", id, x.State, claimed, finished, sealed)
		}
	}
	for c, n := range running {
		if n > 1 {
			t.Errorf("%d run on %s", n, c)
		}
	}
	for id, n := range said["claimed"] {
		if n > 1 {
			t.Errorf("%s was claimed %d times", id, n)
		}
	}
}

// drain runs all that is left, in order.
func drain(t *testing.T, s *Store, said map[string]map[string]int) {
	t.Helper()
	ctx := t.Context()
	for _, l := range must[[]Lost](t)(s.Recover(ctx)) {
		if l.Intent != nil {
			ok(t, s.Finish(ctx, l.Claim.Execution.ID, l.Claim.Fence, domain.Outcome{State: domain.Succeeded}))
		}
	}
	last := map[domain.CloudID]domain.Execution{}
	for {
		claims := must[[]domain.Claim](t)(s.Claim(ctx, "node", 10))
		if len(claims) == 0 {
			break
		}
		for _, c := range claims {
			x := c.Execution
			if said["claimed"][x.ID] > 0 {
				t.Errorf("%s runs twice", x.ID)
			}
			if before := last[x.Cloud]; !before.Submitted.Before(x.Submitted) {
				t.Errorf("%s comes after %s", x.ID, before.ID)
			}
			last[x.Cloud] = x
			ok(t, s.Finish(ctx, x.ID, c.Fence, domain.Outcome{State: domain.Succeeded}))
		}
	}
	for id := range said["accepted"] {
		x, err := s.ExecutionByID(ctx, id)
		ok(t, err)
		if _, sealed := said["sealed"][id]; !x.State.Final() || sealed && x.State != domain.Succeeded {
			t.Errorf("%s ended as %s", id, x.State)
		}
	}
}

// fillDisk has a limit on the size of its files, as a disk has, and stores until it meets it; then it has more room.
func fillDisk() {
	ctx := context.Background()
	s, err := Open(ctx, Config{Path: os.Getenv(childPath), Key: testKey})
	check(err)
	check(s.PutPrivateCloud(ctx, cloud(1)))
	_, _, err = s.Submit(ctx, execution(cloudID(1), "x"))
	check(err)
	claims, err := s.Claim(ctx, "node", 1)
	check(err)
	c := claims[0]
	var limit unix.Rlimit
	check(unix.Getrlimit(unix.RLIMIT_FSIZE, &limit))
	room := limit.Cur
	limit.Cur = 1 << 20
	check(unix.Setrlimit(unix.RLIMIT_FSIZE, &limit))
	seq := int64(1)
	for ; err == nil; seq++ {
		err = s.Append(ctx, c.Execution.ID, c.Fence, lines(seq, domain.Output, strings.Repeat("x", 50_000)))
	}
	seq--
	fmt.Println(errors.CodeOf(err), strings.Contains(err.Error(), "the disk of "+os.Getenv(childPath)))
	limit.Cur = room
	check(unix.Setrlimit(unix.RLIMIT_FSIZE, &limit))
	check(s.Append(ctx, c.Execution.ID, c.Fence, lines(seq, domain.Output, "more")))
	recs, err := s.Records(ctx, c.Execution.ID, 0, 1000, 1<<30)
	check(err)
	check(s.Close())
	fmt.Println(seq > 2, int64(len(recs)) == seq)
}

func TestDiskErrorIsSaidAndSurvived(t *testing.T) {
	t.Parallel()
	cmd := child(t, "disk", filepath.Join(t.TempDir(), "state.db"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.Output()
	ok(t, err)
	same(t, "child", strings.Fields(string(out)), strings.Fields("ServiceUnavailable true true true"))
}
