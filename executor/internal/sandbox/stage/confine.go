package stage

import (
	"os"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// start confines a thread, and starts a program from it, which inherits that. The thread ends with it.
func start(args []string, files []int, answered chan<- struct{}) {
	runtime.LockOSThread() // for ever: a thread once confined is good for nothing else
	pid, err := confineAndStart(args, files)
	closeAll(files)
	if err != nil {
		reply(err)
		close(answered)
		return
	}
	_ = Send(control, Message{Fields: []string{opDone, strconv.Itoa(pid)}})
	close(answered)
	var status syscall.WaitStatus
	var usage syscall.Rusage
	for {
		if _, err := syscall.Wait4(pid, &status, 0, &usage); err != syscall.EINTR {
			break
		}
	}
	fields := []string{opEnded, strconv.Itoa(pid), strconv.Itoa(int(status)), strconv.FormatInt(usage.Maxrss<<10, 10)}
	_ = Send(control, Message{Fields: fields})
}

func confineAndStart(args []string, files []int) (pid int, err error) {
	p, err := parseProgram(args, files)
	if err != nil {
		return 0, err
	}
	attr := &syscall.ProcAttr{Dir: Home, Env: p.Env, Sys: &syscall.SysProcAttr{Setsid: true}}
	if !p.Stdin {
		null, err := os.Open(os.DevNull)
		if err != nil {
			return 0, err
		}
		defer null.Close()
		attr.Files = append(attr.Files, null.Fd())
	}
	for _, fd := range p.Files {
		attr.Files = append(attr.Files, uintptr(fd))
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, doing("rule out new privileges", err)
	}
	if err := restrictFiles(); err != nil {
		return 0, err
	}
	if err := dropCapabilities(); err != nil {
		return 0, err
	}
	listener, err := filterCalls(p.Filter)
	if err != nil {
		return 0, err
	}
	err = Send(control, Message{Fields: []string{opFilter}, Files: []int{listener}})
	unix.Close(listener)
	if err != nil {
		return 0, err
	}
	return syscall.ForkExec(p.Path, append([]string{p.Path}, p.Args...), attr)
}

// dropCapabilities takes all capabilities from the thread, also those that it could get again.
func dropCapabilities() error {
	for c := uintptr(0); ; c++ {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err == unix.EINVAL {
			break // the last one is behind us
		} else if err != nil {
			return doing("drop capabilities", err)
		}
	}
	header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	return doing("drop capabilities", unix.Capset(header, &none[0])) // ambient ones go with them
}

// filterCalls sets the thread's seccomp filter and returns the descriptor on which the executor is asked.
func filterCalls(filter []byte) (listener int, err error) {
	n := len(filter) / int(unsafe.Sizeof(unix.SockFilter{}))
	if n == 0 {
		return -1, errMalformed
	}
	program := make([]unix.SockFilter, n)
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&program[0])), len(filter)), filter)
	p := &unix.SockFprog{Len: uint16(n), Filter: &program[0]}
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(p)))
	runtime.KeepAlive(program)
	if errno != 0 {
		return -1, doing("filter system calls", errno)
	}
	return int(fd), nil
}
