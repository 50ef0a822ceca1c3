package sandbox

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// spawner starts processes that are to die with Airlock. The signal of PR_SET_PDEATHSIG comes when the thread that
// started a process ends, so all are started by one that lives as long as the sandbox.
type spawner struct {
	starts chan func()
	done   chan struct{}
}

// newSpawner makes a spawner. Descriptors that Airlock itself was started with are closed to what it starts from now
// on.
func newSpawner() (*spawner, error) {
	if err := unix.CloseRange(3, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return nil, fmt.Errorf("close inherited descriptors to children: %w", err)
	}
	s := &spawner{make(chan func()), make(chan struct{})}
	go s.run()
	return s, nil
}

func (s *spawner) run() {
	defer close(s.done)
	runtime.LockOSThread()
	for start := range s.starts {
		start()
	}
}

func (s *spawner) start(path string, args []string, attr *os.ProcAttr) (p *os.Process, err error) {
	done := make(chan struct{})
	s.starts <- func() {
		defer close(done)
		p, err = os.StartProcess(path, args, attr)
	}
	<-done
	return p, err
}

func (s *spawner) close() {
	close(s.starts)
	<-s.done
}
