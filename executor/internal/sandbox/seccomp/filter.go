// Package seccomp has the filter of system calls under which the programs of a room run, and the executor's side of
// what the filter asks about: seccomp(2), seccomp_unotify(2).
//
// The filter kills a process that calls the kernel by another architecture's interface (int 0x80 on x86-64), and
// refuses the numbers of the x32 interface and those that are newer than this package. Starting a process and
// executing a program are asked about, so that each attempt is known: the executor lets the room's own program start,
// and refuses all that comes after it. What could reach beyond the room, or hide memory from its bound, is refused
// (calls.go). All else is allowed.
package seccomp

import (
	"encoding/binary"
	"slices"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data.
const (
	offsetNumber       = 0
	offsetArchitecture = 4
	offsetArguments    = 16 // of 8 bytes each, the lower half first on the architectures that are known here
)

var (
	allow = bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}
	kill  = bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS}
	ask   = bpf.RetConstant{Val: unix.SECCOMP_RET_USER_NOTIF}
)

func refuse(errno unix.Errno) bpf.Instruction {
	return bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(errno)}
}

func argument(n uint32) bpf.Instruction {
	return bpf.LoadAbsolute{Off: offsetArguments + 8*n, Size: 4}
}

// when makes instructions that end the filter where the value that was loaded last compares.
func when(c bpf.JumpTest, value uint32, then ...bpf.Instruction) []bpf.Instruction {
	return append([]bpf.Instruction{bpf.JumpIf{Cond: c, Val: value, SkipFalse: uint8(len(then))}}, then...)
}

func is(value uint32, then ...bpf.Instruction) []bpf.Instruction {
	return when(bpf.JumpEqual, value, then...)
}

// thread are the flags of clone that all runtimes make a thread with: one that shares all that the limits count.
const thread = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD

// program is the filter.
func program() []bpf.Instruction {
	p := []bpf.Instruction{bpf.LoadAbsolute{Off: offsetArchitecture, Size: 4}}
	p = append(p, when(bpf.JumpNotEqual, architecture, kill)...)
	p = append(p, bpf.LoadAbsolute{Off: offsetNumber, Size: 4})
	p = append(p, when(bpf.JumpGreaterThan, newest, refuse(unix.ENOSYS))...) // x32 numbers as well
	for _, nr := range asked {
		p = append(p, is(nr, ask)...)
	}
	for _, nr := range refused {
		p = append(p, is(nr, refuse(unix.EPERM))...)
	}
	p = append(p, is(unix.SYS_CLONE3, refuse(unix.ENOSYS))...) // its flags lie in memory; all runtimes fall back to clone
	p = append(p, is(unix.SYS_CLONE, slices.Concat(
		[]bpf.Instruction{argument(0), bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: thread}}, is(thread, allow), []bpf.Instruction{ask})...)...)
	p = append(p, is(unix.SYS_CLOSE_RANGE, slices.Concat( // no table of descriptors that the measure does not see
		[]bpf.Instruction{argument(2), bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: unix.CLOSE_RANGE_UNSHARE}},
		is(0, allow), []bpf.Instruction{refuse(unix.EPERM)})...)...)
	// Other filters could hide attempts, and what cannot be dumped hides its files from the measure.
	p = append(p, is(unix.SYS_PRCTL, slices.Concat(
		[]bpf.Instruction{argument(0)}, is(unix.PR_SET_SECCOMP, refuse(unix.EPERM)), is(unix.PR_SET_DUMPABLE, refuse(unix.EPERM)),
		[]bpf.Instruction{allow})...)...)
	p = append(p, is(unix.SYS_PRLIMIT64, slices.Concat( // of its own only
		[]bpf.Instruction{argument(0)}, is(0, allow), []bpf.Instruction{refuse(unix.EPERM)})...)...)
	p = append(p, is(unix.SYS_SOCKETPAIR, slices.Concat(
		[]bpf.Instruction{argument(0)}, is(unix.AF_UNIX, allow), []bpf.Instruction{refuse(unix.EAFNOSUPPORT)})...)...)
	p = append(p, is(unix.SYS_SOCKET, sockets()...)...)
	return append(p, allow)
}

// sockets allows the families that the network namespace, or the room's file system, bounds, and of netlink the list
// of interfaces, which runtimes read.
func sockets() []bpf.Instruction {
	return slices.Concat(
		[]bpf.Instruction{argument(0)},
		is(unix.AF_INET, allow), is(unix.AF_INET6, allow), is(unix.AF_UNIX, allow),
		when(bpf.JumpNotEqual, unix.AF_NETLINK, refuse(unix.EAFNOSUPPORT)),
		[]bpf.Instruction{argument(2)},
		is(unix.NETLINK_ROUTE, allow), []bpf.Instruction{refuse(unix.EAFNOSUPPORT)},
	)
}

// Filter is the filter as an array of the kernel's struct sock_filter.
func Filter() ([]byte, error) {
	raw, err := bpf.Assemble(program())
	if err != nil {
		return nil, err
	}
	var b []byte
	for _, i := range raw {
		b = binary.NativeEndian.AppendUint16(b, i.Op)
		b = append(b, i.Jt, i.Jf)
		b = binary.NativeEndian.AppendUint32(b, i.K)
	}
	return b, nil
}
