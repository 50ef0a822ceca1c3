package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

var _ = register(map[string]func(target) error{
	"run a shell":                         runShell,
	"execute itself":                      func(target) error { return executeAgain("/proc/self/exe") },
	"execute a descriptor":                executeDescriptor,
	"execute memory":                      executeMemory,
	"execute a written program":           executeWritten,
	"execute a script by its interpreter": executeScript,
	"execute by the dynamic loader":       executeLoader,
	"fork":                                func(target) error { return fork(unix.SYS_FORK, 0) },
	"vfork":                               func(target) error { return fork(unix.SYS_VFORK, 0) },
	"fork by clone":                       func(target) error { return fork(unix.SYS_CLONE, uintptr(unix.SIGCHLD)) },
	"fork by clone with the same memory":  func(target) error { return fork(unix.SYS_CLONE, unix.CLONE_VM|unix.CLONE_VFORK|uintptr(unix.SIGCHLD)) },
	"fork a sibling by clone":             func(target) error { return fork(unix.SYS_CLONE, unix.CLONE_PARENT|uintptr(unix.SIGCHLD)) },
	"fork by clone3":                      forkClone3,
	"fork by int 0x80":                    func(target) error { return fork32(2) },
	"clone by int 0x80":                   func(target) error { return fork32(120) },
	"fork by an x32 number":               func(target) error { return fork(unix.SYS_FORK|0x40000000, 0) },
	"clone into a user namespace":         func(target) error { return fork(unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD)) },
	"leave a network namespace":           func(target) error { return unix.Unshare(unix.CLONE_NEWNET) },
	"enter a namespace":                   enterNamespace,
	"trace a process":                     trace,
	"read the memory of a process":        readMemory,
	"read a process's memory by a file":   readMemoryFile,
	"read the environment of a process":   func(t target) error { return holds(process(t, "environ"), t.Canary) },
	"read the environment of its parent": func(t target) error {
		return holds(fmt.Sprintf("/proc/%d/environ", os.Getppid()), "PATH=")
	},
	"list the files of its parent":   func(target) error { _, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", os.Getppid())); return err },
	"take a descriptor of a process": takeDescriptor,
	"see other processes":            seeProcesses,
	"signal a process":               func(t target) error { return unix.Kill(t.Process, unix.SIGCONT) },
	"signal its parent":              func(target) error { return unix.Kill(os.Getppid(), unix.SIGCONT) },
	"open a process":                 func(t target) error { _, err := unix.PidfdOpen(t.Process, 0); return err },
	"renice a process":               func(t target) error { return unix.Setpriority(unix.PRIO_PROCESS, t.Process, 19) },
	"bound a process":                func(t target) error { var l unix.Rlimit; return unix.Prlimit(t.Process, unix.RLIMIT_NOFILE, nil, &l) },
	"bind a process to a processor":  func(t target) error { var s unix.CPUSet; return unix.SchedGetaffinity(t.Process, &s) },
	"have capabilities within reach": capabilities,
	"gain privileges by executing":   newPrivileges,
	"become root":                    func(target) error { return unix.Setresuid(0, 0, 0) },
	"compare itself with a process":  compare,
})

func runShell(target) error {
	out, err := exec.Command("/bin/sh", "-c", "echo out").Output()
	if err == nil && strings.TrimSpace(string(out)) != "out" {
		return errNotFound
	}
	return err
}

// executeAgain becomes a program, which says so where it is this one.
func executeAgain(path string, args ...string) error {
	return syscall.Exec(path, append([]string{path}, args...), []string{again + "=1"})
}

func executeDescriptor(target) error {
	fd, err := unix.Open("/proc/self/exe", unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return executeAt(fd)
}

func executeAt(fd int) error {
	empty, _ := syscall.BytePtrFromString("")
	arg, _ := syscall.BytePtrFromString("attack")
	env, _ := syscall.BytePtrFromString(again + "=1")
	argv, envv := []*byte{arg, nil}, []*byte{env, nil}
	_, _, errno := unix.RawSyscall6(unix.SYS_EXECVEAT, uintptr(fd), uintptr(unsafe.Pointer(empty)),
		uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&envv[0])), unix.AT_EMPTY_PATH, 0)
	return errno
}

func executeMemory(target) error {
	fd, err := unix.MemfdCreate("program", 0)
	if err != nil {
		return err
	}
	data, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	if _, err := unix.Write(fd, data); err != nil {
		return err
	}
	return executeAt(fd)
}

func executeWritten(target) error {
	data, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	path := filepath.Join(home(), "program")
	if err := os.WriteFile(path, data, 0o755); err != nil {
		return err
	}
	return executeAgain(path)
}

func executeScript(target) error {
	path := filepath.Join(home(), "script")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho succeeded\n"), 0o755); err != nil {
		return err
	}
	return executeAgain(path)
}

func executeLoader(target) error {
	return executeAgain("/lib64/ld-linux-x86-64.so.2", "/bin/echo", "succeeded")
}

// fork makes a process, which ends at once, by a system call and its first argument.
func fork(number, argument uintptr) error {
	r := forkBy(number, argument, 0)
	return forked(int(r))
}

func forked(pid int) error {
	if pid < 0 {
		return unix.Errno(-pid)
	}
	_, err := unix.Wait4(pid, nil, unix.WALL, nil)
	if err == unix.ECHILD { // it is a sibling
		err = nil
	}
	return err
}

func forkClone3(target) error {
	args := [11]uint64{4: uint64(unix.SIGCHLD)} // struct clone_args
	return forked(int(forkBy(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args))))
}

// fork32 forks by a number of the i386 interface.
func fork32(number uintptr) error { return forked(int(int32(forkBy80(number, uintptr(unix.SIGCHLD))))) }

func enterNamespace(target) error {
	fd, err := unix.Open("/proc/self/ns/uts", unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return unix.Setns(fd, unix.CLONE_NEWUTS)
}

func trace(t target) error {
	const seize = 0x4206
	if _, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, seize, uintptr(t.Process), 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil // and lets go of it by ending
}

func readMemory(t target) error {
	b := make([]byte, len(t.Canary))
	local := []unix.Iovec{{Base: &b[0]}}
	local[0].SetLen(len(b))
	remote := []unix.RemoteIovec{{Base: t.Address, Len: len(b)}}
	if _, err := unix.ProcessVMReadv(t.Process, local, remote, 0); err != nil {
		return err
	}
	if string(b) != t.Canary {
		return errNotFound
	}
	return nil
}

func readMemoryFile(t target) error {
	f, err := os.Open(process(t, "mem"))
	if err != nil {
		return err
	}
	b := make([]byte, len(t.Canary))
	if _, err := f.ReadAt(b, int64(t.Address)); err != nil {
		return err
	}
	if string(b) != t.Canary {
		return errNotFound
	}
	return nil
}

func takeDescriptor(t target) error {
	fd, err := unix.PidfdOpen(t.Process, 0)
	if err != nil {
		return err
	}
	_, err = unix.PidfdGetfd(fd, 0, 0)
	return err
}

// seeProcesses succeeds where somebody else is in /proc.
func seeProcesses(target) error {
	names, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	for _, n := range names {
		if pid, err := strconv.Atoi(n.Name()); err == nil && pid != os.Getpid() {
			return nil
		}
	}
	return errNotFound
}

func status(name string) (string, error) {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, ":"); ok && key == name {
			return strings.TrimSpace(value), nil
		}
	}
	return "", errNotFound
}

func capabilities(target) error {
	for _, set := range []string{"CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb"} {
		if v, err := status(set); err != nil || strings.Trim(v, "0") != "" {
			return err
		}
	}
	return errors.New("all sets of capabilities are empty")
}

func newPrivileges(target) error {
	if v, err := status("NoNewPrivs"); err != nil || v == "0" {
		return err
	}
	return errors.New("no new privileges are given")
}

func compare(t target) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_KCMP, uintptr(os.Getpid()), uintptr(t.Process), 1, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
