package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/executor/internal/sandbox/seccomp"
	"github.com/airlock-run/airlock/executor/internal/sandbox/stage"
	"github.com/airlock-run/airlock/executor/internal/sandbox/usage"
)

// isolatedProcess is a process in an isolated room.
type isolatedProcess struct {
	room *isolatedRoom
	done chan struct{} // closed when it has ended
	last stage.Answer  // then
	host *os.Process   // as the machine sees it; the room's lock guards it until Start returns
}

// process finds or makes the process with a pid in the room: it may have ended before Start knows of it. The room's
// lock is held.
func (r *isolatedRoom) process(pid int) *isolatedProcess {
	p, ok := r.processes[pid]
	if !ok {
		p = &isolatedProcess{room: r, done: make(chan struct{})}
		r.processes[pid] = p
		if r.ended {
			p.ended(killed)
		}
	}
	return p
}

// killed is how processes end of which the stage cannot tell any more.
var killed = stage.Answer{Status: syscall.WaitStatus(syscall.SIGKILL)}

func (p *isolatedProcess) ended(a stage.Answer) {
	p.last = a
	close(p.done)
}

// allEnded ends the processes that the stage, which is gone, has not told of.
func (r *isolatedRoom) allEnded() {
	<-r.gone
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	for _, p := range r.processes {
		if !isClosed(p.done) {
			p.ended(killed)
		}
	}
}

// Wait implements Process.
func (p *isolatedProcess) Wait() End {
	<-p.done
	end := End{How: how(p.last.Status)}
	if !p.last.Status.Exited() || p.last.Status.ExitStatus() != 0 {
		end.Limit = p.room.hit(p.last.MaxRSS)
	}
	return end
}

// Kill implements Process.
func (p *isolatedProcess) Kill() { _ = p.host.Kill() }

// admission is what became of a program that was to be executed. The room's lock guards it.
type admission struct {
	host *os.Process
	err  error
}

// decide answers what a program's filter asks. Until the program is executed it is the stage that is asked about:
// it makes a process, which executes the program. Nothing is allowed after that.
func (r *isolatedRoom) decide(n *seccomp.Notifier, a *admission) {
	defer n.Close()
	for executed := false; ; {
		c, err := n.Next()
		if err != nil {
			return
		}
		switch {
		case executed:
			r.deny(n, c)
			err = n.Refuse(c)
		case c.Name == "clone":
			err = n.Allow(c)
		case c.Name == "execve":
			executed = true
			if r.admit(c.PID, a) {
				err = n.Allow(c)
			} else {
				err = n.Refuse(c)
			}
		default:
			err = n.Refuse(c)
		}
		if err != nil {
			return
		}
	}
}

// deny reports a refused attempt.
func (r *isolatedRoom) deny(n *seccomp.Notifier, c seccomp.Call) {
	r.telling.Lock()
	defer r.telling.Unlock()
	if r.denials++; r.denials <= MaxDenied && r.place.Denied != nil {
		r.place.Denied(Denial{Call: c.Name, Path: n.Path(c, 256)})
	}
}

// stageThreads is how many threads the stage may have, which count like the program's.
const stageThreads = 32

// admit bounds a process that is about to execute its program, and says whether it may.
func (r *isolatedRoom) admit(pid int, a *admission) bool {
	host, err := os.FindProcess(pid)
	if err == nil {
		err = r.boundProcess(pid)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a.host, a.err = host, err
	return err == nil
}

func (r *isolatedRoom) boundProcess(pid int) error {
	l := r.sandbox.limits
	limits := map[int]int64{
		unix.RLIMIT_NOFILE: int64(l.Files), unix.RLIMIT_NPROC: int64(l.Threads + 2*stageThreads),
		unix.RLIMIT_CORE:    1, // core(5): none, and with 1, other than with 0, the machine's handler is not started either
		unix.RLIMIT_MEMLOCK: 8 << 20, unix.RLIMIT_FSIZE: beyond(l.WorkDirectory),
	}
	r.mu.Lock()
	group := r.group
	r.mu.Unlock()
	if group == nil {
		limits[unix.RLIMIT_NPROC] = int64(l.Threads + stageThreads)
		limits[unix.RLIMIT_DATA] = beyond(l.Memory)
	}
	for resource, most := range limits {
		if err := limitResource(pid, resource, uint64(most)); err != nil {
			return err
		}
	}
	return nil
}

// beyond is where the kernel stops at once what the watch is about to end: some way above the bound, so that the watch
// sees it cross the bound.
func beyond(bound int64) int64 { return bound + bound/8 + 64<<20 }

func limitResource(pid, resource int, most uint64) error {
	var now unix.Rlimit
	if err := unix.Prlimit(pid, resource, nil, &now); err != nil {
		return fmt.Errorf("read the limit %d of the program: %w", resource, err)
	}
	most = min(most, now.Max)
	if err := unix.Prlimit(pid, resource, &unix.Rlimit{Cur: most, Max: most}, nil); err != nil {
		return fmt.Errorf("set the limit %d of the program: %w", resource, err)
	}
	return nil
}

// interval is how often a room is measured; one that takes long to measure, less often. Every stillEvery times the
// programs are stopped for it, so that nothing moves out of its way.
const (
	interval   = 100 * time.Millisecond
	stillEvery = 10
)

// watch measures what the room's processes use, from the first one on, and kills the room when it is too much.
func (r *isolatedRoom) watch() {
	if r.watching {
		return
	}
	r.watching = true
	r.work.Go(func() {
		timer := time.NewTimer(interval)
		defer timer.Stop()
		for n := 1; ; n++ {
			select {
			case <-r.gone:
				return
			case <-timer.C:
			}
			began := time.Now()
			let := func() {}
			if n%stillEvery == 0 {
				let = r.still()
			}
			limit := r.measure()
			let()
			if limit != "" {
				r.mu.Lock()
				r.limit = limit
				r.mu.Unlock()
				r.killAll()
				return
			}
			timer.Reset(max(interval, 4*time.Since(began)))
		}
	})
}

// still stops the room's programs, and returns what lets them go on. One that does not stop within 50 ms, as the
// kernel is at work for it, is left to itself.
func (r *isolatedRoom) still() (let func()) {
	programs := r.programs()
	for _, p := range programs {
		_ = p.Signal(syscall.SIGSTOP)
	}
	deadline := time.Now().Add(50 * time.Millisecond)
	for _, p := range programs {
		for !stopped(p.Pid) && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond / 4)
		}
	}
	return func() {
		for _, p := range programs {
			_ = p.Signal(syscall.SIGCONT)
		}
	}
}

// measure says which bound the room is beyond.
func (r *isolatedRoom) measure() Limit {
	pids, bounded := r.running()
	if r.full(pids) {
		return WorkDirectory
	}
	memory, threads := int64(0), 0
	for _, pid := range pids {
		if p, ok := look(pid); ok {
			threads = max(threads, p.threads)
		}
		if tid, ok := usage.Thread(pid); ok && !bounded {
			memory += taken(tid)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.threads = max(r.threads, threads)
	if !bounded && memory > r.sandbox.limits.Memory {
		return Memory
	}
	return ""
}

// running are the pids of processes that have not ended, and whether a control group bounds them.
func (r *isolatedRoom) running() (pids []int, bounded bool) {
	for _, p := range r.programs() {
		pids = append(pids, p.Pid)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return pids, r.group != nil
}

// programs are the processes that have not ended, as the machine sees them.
func (r *isolatedRoom) programs() (hosts []*os.Process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.processes {
		if p.host != nil && !isClosed(p.done) {
			hosts = append(hosts, p.host)
		}
	}
	return hosts
}

// maxFailures is how many measurements may fail one after the other, for a want of descriptors for example, before a
// room counts as full.
const maxFailures = 10

// full says whether the work directory has more than it may have.
func (r *isolatedRoom) full(pids []int) bool {
	limit := r.sandbox.limits.WorkDirectory
	dirs := []string{filepath.Join(r.place.Dir, Home), filepath.Join(r.place.Dir, Tmp)}
	used, err := usage.Of(limit, dirs, pids, r.over)
	switch {
	case errors.Is(err, usage.ErrStopped):
		return false
	case err == nil:
		r.failures.Store(0)
	case !errors.Is(err, usage.ErrHidden) && r.failures.Add(1) < maxFailures:
		return false
	}
	return used > limit || err != nil
}

// hit says which bound a process lacked that has ended badly, having had that much memory.
func (r *isolatedRoom) hit(memory int64) Limit {
	r.mu.Lock()
	limit, group, threads := r.limit, r.group, r.threads
	r.mu.Unlock()
	if limit != "" {
		return limit
	}
	if group != nil {
		switch m, t := group.Hit(); {
		case m:
			return Memory
		case t:
			return Threads
		}
	} else if bounds := r.sandbox.limits; memory > bounds.Memory-bounds.Memory/16 {
		return Memory
	} else if threads >= bounds.Threads {
		return Threads
	}
	if r.full(nil) {
		return WorkDirectory
	}
	return ""
}
