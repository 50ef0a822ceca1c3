package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

var _ = register(map[string]func(target) error{
	"set up io_uring":              ioUring,
	"make a BPF map":               func(target) error { return bpf() },
	"open a performance event":     perfEvent,
	"handle page faults":           func(target) error { return call(unix.SYS_USERFAULTFD, 1) }, // UFFD_USER_MODE_ONLY
	"add a key":                    addKey,
	"read a keyring":               readKeyring,
	"make memory without a file":   func(target) error { _, err := unix.MemfdCreate("x", 0); return err },
	"make secret memory":           func(target) error { _, err := unix.MemfdSecret(0); return err },
	"open shared memory of others": func(t target) error { return call(unix.SYS_SHMGET, uintptr(t.SharedKey), 0, 0) },
	"make shared memory":           makeSharedMemory,
	"open a message queue":         openQueue,
	"filter its own system calls":  filterCalls,
	"change its personality":       func(target) error { return call(unix.SYS_PERSONALITY, 0x0040000) }, // ADDR_NO_RANDOMIZE
	"read segment descriptors": func(target) error {
		b := make([]byte, 64)
		return call(unix.SYS_MODIFY_LDT, 0, uintptr(unsafe.Pointer(&b[0])), 64)
	},
	"read the kernel's log":        func(target) error { return call(unix.SYS_SYSLOG, 10, 0, 0) }, // SYSLOG_ACTION_SIZE_BUFFER
	"look at the clock's settings": adjustClock,
	"set the host name":            setHostName,
	"load a kernel module":         loadModule,
	"count processes' use of it":   func(target) error { return call(unix.SYS_ACCT, 0) },
	"swap to a file":               swapOn,
	"get into ports":               func(target) error { return call(unix.SYS_IOPL, 0) },
})

// call makes a system call.
func call(number uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	r, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
	if errno != 0 {
		return errno
	}
	if number == unix.SYS_USERFAULTFD {
		unix.Close(int(r))
	}
	return nil
}

func ioUring(target) error {
	params := make([]byte, 120) // struct io_uring_params
	return call(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params[0])))
}

func bpf() error {
	attr := [4]uint32{2, 4, 4, 1} // an array of one value: BPF_MAP_TYPE_ARRAY, key, value, entries
	return call(unix.SYS_BPF, 0, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
}

func perfEvent(target) error {
	attr := &unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_TASK_CLOCK}
	attr.Size = uint32(unsafe.Sizeof(*attr))
	attr.Bits = unix.PerfBitExcludeKernel | unix.PerfBitExcludeHv
	_, err := unix.PerfEventOpen(attr, 0, -1, -1, 0)
	return err
}

func addKey(target) error {
	_, err := unix.AddKey("user", "airlock-attack", []byte("x"), unix.KEY_SPEC_PROCESS_KEYRING)
	return err
}

func readKeyring(target) error {
	_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_PROCESS_KEYRING, true)
	return err
}

func makeSharedMemory(target) error {
	id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 4096, unix.IPC_CREAT|0o600)
	if err != nil {
		return err
	}
	_, err = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
	return err
}

func openQueue(t target) error {
	name, err := unix.BytePtrFromString(t.Queue)
	if err != nil {
		return err
	}
	return call(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(name)), unix.O_RDONLY, 0, 0)
}

func filterCalls(target) error {
	action := uint32(unix.SECCOMP_RET_ALLOW)
	return call(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
}

func adjustClock(target) error {
	var t unix.Timex // changes nothing
	_, err := unix.Adjtimex(&t)
	return err
}

// setHostName sets it to what it is.
func setHostName(target) error {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return err
	}
	return unix.Sethostname([]byte(unix.ByteSliceToString(name.Nodename[:])))
}

// through tells whether a call went as far as its arguments, which are none that it could take.
func through(err error) error {
	switch err {
	case unix.EINVAL, unix.ENOENT, unix.ENOEXEC, unix.EFAULT, unix.EBADF:
		return nil
	}
	return err
}

func loadModule(target) error {
	b := []byte("no module")
	return through(call(unix.SYS_INIT_MODULE, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0))
}

func swapOn(target) error {
	name, err := unix.BytePtrFromString("/nonexistent")
	if err != nil {
		return err
	}
	return through(call(unix.SYS_SWAPON, uintptr(unsafe.Pointer(name)), 0))
}
