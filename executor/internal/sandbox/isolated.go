package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/airlock-run/airlock/executor/internal/sandbox/cgroup"
	"github.com/airlock-run/airlock/executor/internal/sandbox/seccomp"
	"github.com/airlock-run/airlock/executor/internal/sandbox/stage"
	"github.com/airlock-run/airlock/executor/internal/sandbox/usage"
)

// Limits are the bounds of a room, and so of one execution; 0 stands for the value in DefaultLimits.
type Limits struct {
	// Memory is in bytes: with a control group all that the programs take, with the kernel's memory and page cache for
	// them; without one what is resident, measured ten times a second, and shared memory whole.
	Memory int64
	// Threads is how many threads the programs have at once. No program can start another one.
	Threads int
	// Files is how many descriptors a program has open at once.
	Files int
	// WorkDirectory is in bytes on disk, at least 4 KiB a file; there may be MaxEntries names in it, nested
	// usage.MaxDepth deep. It is measured ten times a second, less often where there are very many files, and once a
	// second with the programs stopped: what a script writes in between is beyond it, a few hundred MB on a fast disk,
	// and up to a second of writing for one that moves files about to escape. As somebody else than root, Airlock does
	// not see deleted files that a script has mapped and closed.
	WorkDirectory int64
}

// DefaultLimits are the bounds of a room where nobody says otherwise: 2 GiB of memory, 1024 threads and files, 25 GB of
// disk. Go with thousands of goroutines, and pwsh, do with a tenth of the threads and files.
var DefaultLimits = Limits{Memory: 2 << 30, Threads: 1024, Files: 1024, WorkDirectory: 25e9}

// Isolated is the sandbox. A room is a set of namespaces with a first process of Airlock's own (package stage): its
// user, processes, mounts, network, IPC and host name are the room's alone. In it are the work directory, the package,
// what the runtime needs and next to nothing else; every address is the room's own, and where nobody listens there,
// refuses. The programs run without capabilities, under Landlock and a filter of system calls (package seccomp), and
// have the right to be themselves only: every attempt to start a process or to execute a program is refused and
// reported.
//
// As root, a room has a user of its own that no other room or program has; else it has Airlock's user.
type Isolated struct {
	limits  Limits
	boot    string
	filter  []byte
	spawner *spawner
	groups  *cgroup.Parent // nil where there are none

	keep    sync.Once
	spares  chan *shell
	closing chan struct{}
	keeping sync.WaitGroup
}

// MaxEntries is how many files and directories a work directory may have.
const MaxEntries = usage.MaxEntries

// LeastLimits are the least that a program starts with.
var LeastLimits = Limits{Memory: 32 << 20, Threads: 16, Files: 32, WorkDirectory: 1 << 20}

// Complete puts the defaults in for what is 0, and says which bound is below LeastLimits.
func (l Limits) Complete() (Limits, error) {
	l.Memory = cmp.Or(l.Memory, DefaultLimits.Memory)
	l.Threads = cmp.Or(l.Threads, DefaultLimits.Threads)
	l.Files = cmp.Or(l.Files, DefaultLimits.Files)
	l.WorkDirectory = cmp.Or(l.WorkDirectory, DefaultLimits.WorkDirectory)
	for _, bound := range []struct {
		name         string
		value, least int64
	}{
		{"memory", l.Memory, LeastLimits.Memory},
		{"threads", int64(l.Threads), int64(LeastLimits.Threads)},
		{"files", int64(l.Files), int64(LeastLimits.Files)},
		{"work directory", l.WorkDirectory, LeastLimits.WorkDirectory},
	} {
		if bound.value < bound.least {
			return l, fmt.Errorf("the limit %s is %d, and has to be at least %d", bound.name, bound.value, bound.least)
		}
	}
	return l, nil
}

// NewIsolated makes the sandbox. What it needs of the kernel is what Probe says; a room lacking that does not open.
func NewIsolated(l Limits) (*Isolated, error) {
	l, err := l.Complete()
	if err != nil {
		return nil, err
	}
	filter, err := seccomp.Filter()
	if err != nil {
		return nil, err
	}
	s, err := newSpawner()
	if err != nil {
		return nil, err
	}
	groups, _ := cgroup.Find() // Probe tells why there are none
	return &Isolated{
		limits: l, boot: bootID(), filter: filter, spawner: s, groups: groups, spares: make(chan *shell), closing: make(chan struct{}),
	}, nil
}

// Close implements Sandbox.
func (s *Isolated) Close() error {
	close(s.closing)
	s.keeping.Wait()
	s.spawner.close()
	return nil
}

// Open implements Sandbox.
func (s *Isolated) Open(ctx context.Context, p Place) (_ Room, err error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if !filepath.IsAbs(p.Package) {
		return nil, fmt.Errorf("the package %s is not absolute", p.Package)
	}
	r := &isolatedRoom{
		sandbox: s, place: p, gone: make(chan struct{}), answers: make(chan answer),
		over: make(chan struct{}), bounded: make(chan struct{}), processes: map[int]*isolatedProcess{}, names: newNames(p.Aliases),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	layout := stage.Layout{
		Home: filepath.Join(p.Dir, Home), Tmp: filepath.Join(p.Dir, Tmp), Etc: filepath.Join(p.Dir, etc),
		Package: p.Package, Runtime: p.Runtime, Libraries: p.Libraries, Mountpoint: p.Dir,
	}
	sh, err := s.take()
	if err != nil {
		return nil, err
	}
	if err := r.enter(sh); err != nil {
		return nil, err
	}
	if sh.own {
		layout.ID = roomID
	}
	dir := filepath.Join(p.Dir, etc)
	if err := errors.Join(os.Mkdir(dir, 0o755), os.Chmod(dir, 0o755)); err != nil { // whatever the umask
		return nil, err
	}
	if err := r.own(sh); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, r.killAll)
	defer stop()
	furnished := make(chan error, 1)
	go func() { furnished <- r.writeEtc() }() // while the stage works
	_, err = r.ask(stage.Make(layout))
	if err := errors.Join(err, <-furnished); err != nil {
		return nil, err
	}
	return r, ctx.Err()
}

// own gives the room's user its directories. A Runtime below /tmp has its place in them, so that comes before the stage.
func (r *isolatedRoom) own(sh *shell) error {
	if !sh.own {
		return nil
	}
	for _, name := range []string{Home, Tmp} {
		if err := os.Lchown(filepath.Join(r.place.Dir, name), sh.user, sh.user); err != nil {
			return err
		}
	}
	return nil
}

// enter makes a stage the room's.
func (r *isolatedRoom) enter(sh *shell) error {
	r.control, r.init = sh.control, sh.stage
	r.work.Go(func() {
		_, _ = r.init.Wait()
		close(r.gone)
	})
	r.work.Go(r.hear)
	r.work.Go(func() {
		defer close(r.bounded)
		r.boundErr = r.bound()
	})
	return r.record()
}

// bound puts the stage, and with it what it starts, into a control group. That can wait for the kernel for a long time
// (up to 30 ms were seen), so it goes on beside all else, and Start waits for it.
func (r *isolatedRoom) bound() (err error) {
	s := r.sandbox
	if s.groups == nil {
		return nil
	}
	g, err := s.groups.Make(groupName(r.place.Dir), cgroup.Bounds{Memory: s.limits.Memory, Threads: s.limits.Threads + stageThreads})
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.group = g
	r.mu.Unlock()
	return g.Add(r.init.Pid)
}

// groupName names the control group of a room, by its work directory.
func groupName(dir string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(dir))
	return fmt.Sprintf("airlock-%s-%x", filepath.Base(dir), h.Sum64())
}

// record writes down the stage, for Recover.
func (r *isolatedRoom) record() error {
	p, _ := look(r.init.Pid)
	line := fmt.Sprintf("%d %d %s\n", r.init.Pid, p.start, r.sandbox.boot)
	return os.WriteFile(recordPath(r.place.Dir), []byte(line), 0o600)
}

// Recover implements Sandbox. Everything in a room dies with its stage, and that with the Airlock that started it;
// Recover sees to it that this is over.
func (s *Isolated) Recover(dir string) error {
	ids, _ := readRecord(dir)
	for _, id := range ids {
		if id.boot != s.boot {
			continue
		}
		err := sweep(func(p process) bool { return p.pid == id.pid && p.start == id.start })
		if err != nil {
			return err
		}
	}
	if s.groups != nil {
		if err := s.groups.Remove(groupName(dir)); err != nil {
			return err
		}
	}
	return os.RemoveAll(recordPath(dir))
}

// patience is how long a stage may take for an answer, and the kernel to end a room.
const patience = 30 * time.Second
