package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// These are no attempts of their own: all at once, and what is no attack at all.
var _ = register(map[string]func(target) error{
	"rampage":         rampage,
	"2000 goroutines": goroutines,
})

// rampage ignores what it can of signals, and takes memory, threads, disk, descriptors and processes as they come.
func rampage(t target) error {
	signal.Ignore()
	began := make(chan bool, 5)
	forever := func(f func(i int)) {
		go func() {
			for i := 0; ; i++ {
				f(i)
				if i == 20 {
					began <- true
				}
				time.Sleep(time.Millisecond) // a call that waits for the executor holds up the others
			}
		}()
	}
	forever(func(int) { _ = fork(unix.SYS_CLONE, uintptr(unix.SIGCHLD)) })
	forever(func(i int) {
		if c := exec.Command("/proc/self/exe"); i < 1000 {
			_ = c.Start()
		}
	})
	forever(func(i int) {
		_ = os.WriteFile(filepath.Join(home(), fmt.Sprint(i%64)), make([]byte, 1<<20), 0o600)
	})
	forever(func(i int) {
		if i < t.Amount {
			b, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
			for n := 0; err == nil && n < len(b); n += 4096 {
				b[n] = 1
			}
		}
	})
	forever(func(i int) {
		if i < 50 {
			go func() {
				runtime.LockOSThread()
				select {}
			}()
		}
		_, _ = unix.Open(os.DevNull, unix.O_RDONLY, 0)
	})
	for range cap(began) {
		<-began
	}
	return linger()
}

// goroutines works with many of them, some in threads of their own, and sees that a child is refused and no more. A
// hundred at a time have a file open: a room has fewer files and threads than there are goroutines.
func goroutines(t target) error {
	var all sync.WaitGroup
	errs := make(chan error, 2000)
	turns := make(chan struct{}, 100)
	for i := range cap(errs) {
		all.Go(func() {
			if i%50 == 0 {
				runtime.LockOSThread()
			}
			turns <- struct{}{}
			defer func() { <-turns }()
			path := filepath.Join(home(), fmt.Sprint(i))
			if err := os.WriteFile(path, []byte(path), 0o600); err != nil {
				errs <- err
			} else if err := holds(path, path); err != nil {
				errs <- err
			}
			if i > 0 {
				return
			}
			if err := exec.Command(os.Args[0]).Run(); !errors.Is(err, unix.EPERM) {
				errs <- fmt.Errorf("starting a child: %v", err)
			}
		})
	}
	all.Wait()
	close(errs)
	return <-errs
}
