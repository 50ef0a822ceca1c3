package seccomp

import "golang.org/x/sys/unix"

const architecture = unix.AUDIT_ARCH_AARCH64

// asked are the system calls that the executor decides about, besides clone.
var asked = []uint32{unix.SYS_EXECVE, unix.SYS_EXECVEAT}

var refusedHere = []uint32{unix.SYS_KEXEC_FILE_LOAD, unix.SYS_NFSSERVCTL}

// names of what is asked about.
var names = map[int32]string{
	unix.SYS_EXECVE: "execve", unix.SYS_EXECVEAT: "execveat", unix.SYS_CLONE: "clone",
}
