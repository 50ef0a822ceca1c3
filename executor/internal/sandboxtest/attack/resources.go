package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// These go on until they have their amount: MiB, or how many.
var _ = register(map[string]func(target) error{
	"take memory":                     func(t target) error { return take(t, unix.MAP_PRIVATE) },
	"take shared memory":              func(t target) error { return take(t, unix.MAP_SHARED) },
	"fill the disk":                   func(t target) error { return fill(t, keep) },
	"fill the disk by files in /tmp":  fillTmp,
	"fill the disk by deleted files":  func(t target) error { return fill(t, deleted) },
	"fill the disk by mapped files":   func(t target) error { return fill(t, mapped) },
	"fill the disk by hidden files":   func(t target) error { return fill(t, hidden) },
	"fill the disk by files far down": fillFarDown,
	"make empty files":                emptyFiles,
	"allocate the disk":               func(t target) error { return allocate(t) },
	"take threads":                    takeThreads,
	"take descriptors":                takeDescriptors,
})

func take(t target, kind int) error {
	for range t.Amount {
		b, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, kind|unix.MAP_ANON)
		if err != nil {
			return err
		}
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
	}
	return linger()
}

// linger says that all was taken, and holds it until somebody ends the program.
func linger() error {
	fmt.Println("succeeded")
	time.Sleep(time.Hour)
	return nil
}

const (
	keep = iota
	deleted
	mapped
	hidden
)

// fill writes files of a MiB.
func fill(t target, way int) error {
	dir := filepath.Join(home(), "full")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	b := make([]byte, 1<<20)
	for i := range t.Amount {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return err
		}
		if _, err := f.Write(b); err != nil {
			return err
		}
		if way == deleted {
			if err := os.Remove(f.Name()); err != nil {
				return err
			}
			continue // and is held
		}
		if way == mapped {
			_, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
			if err = errors.Join(err, os.Remove(f.Name())); err != nil {
				return err
			}
		}
		f.Close()
	}
	if way == hidden {
		if err := os.Chmod(dir, 0); err != nil {
			return err
		}
	}
	return linger()
}

func fillTmp(t target) error {
	b := make([]byte, 1<<20)
	f, err := os.Create(t.Full)
	if err != nil {
		return err
	}
	for range t.Amount {
		if _, err := f.Write(b); err != nil {
			return err
		}
	}
	return linger()
}

// fillFarDown nests directories deeper than a path can say.
func fillFarDown(t target) error {
	if err := os.Chdir(home()); err != nil {
		return err
	}
	for range t.Amount {
		if err := os.Mkdir("down", 0o700); err != nil {
			return err
		}
		if err := os.Chdir("down"); err != nil {
			return err
		}
	}
	return linger()
}

func emptyFiles(t target) error {
	for i := range t.Amount {
		f, err := os.Create(filepath.Join(home(), fmt.Sprint(i)))
		if err != nil {
			return err
		}
		f.Close()
	}
	return linger()
}

func allocate(t target) error {
	f, err := os.Create(filepath.Join(home(), "allocated"))
	if err != nil {
		return err
	}
	if err := unix.Fallocate(int(f.Fd()), 0, 0, int64(t.Amount)<<20); err != nil {
		return err
	}
	return linger()
}

func takeThreads(t target) error {
	var started, over sync.WaitGroup
	over.Add(1)
	for range t.Amount {
		started.Add(1)
		go func() {
			runtime.LockOSThread()
			started.Done()
			over.Wait()
		}()
	}
	started.Wait()
	return linger()
}

func takeDescriptors(t target) error {
	for range t.Amount {
		if _, err := unix.Open(os.DevNull, unix.O_RDONLY, 0); err != nil {
			return err
		}
	}
	return nil
}
