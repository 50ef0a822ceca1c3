package seccomp

import (
	"encoding/binary"
	"slices"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// verdict runs the filter over a system call. The machine of package bpf loads big-endian words, and a real filter the
// kernel's own, so the data is made for the former.
func verdict(t *testing.T, arch, number uint32, args ...uint64) uint32 {
	t.Helper()
	vm, err := bpf.NewVM(program())
	if err != nil {
		t.Fatal(err)
	}
	data := binary.BigEndian.AppendUint32(nil, number)
	data = binary.BigEndian.AppendUint32(data, arch)
	data = binary.BigEndian.AppendUint64(data, 0)
	for i := range 6 {
		var a uint64
		if i < len(args) {
			a = args[i]
		}
		data = binary.BigEndian.AppendUint32(data, uint32(a))
		data = binary.BigEndian.AppendUint32(data, uint32(a>>32))
	}
	v, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(v)
}

func TestVerdicts(t *testing.T) {
	errno := func(e unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(e) }
	const foreign = unix.AUDIT_ARCH_I386
	for _, c := range []struct {
		name   string
		arch   uint32
		number uint32
		args   []uint64
		want   uint32
	}{
		{"read", architecture, unix.SYS_READ, nil, unix.SECCOMP_RET_ALLOW},
		{"the newest call", architecture, newest - 1, nil, unix.SECCOMP_RET_ALLOW},
		{"a call of the future", architecture, newest + 1, nil, errno(unix.ENOSYS)},
		{"an x32 number", architecture, 0x40000000 | unix.SYS_READ, nil, errno(unix.ENOSYS)},
		{"the number -1", architecture, 0xffffffff, nil, errno(unix.ENOSYS)},
		{"read of another architecture", foreign, unix.SYS_READ, nil, unix.SECCOMP_RET_KILL_PROCESS},
		{"execve", architecture, unix.SYS_EXECVE, nil, unix.SECCOMP_RET_USER_NOTIF},
		{"execveat", architecture, unix.SYS_EXECVEAT, nil, unix.SECCOMP_RET_USER_NOTIF},
		{"a thread", architecture, unix.SYS_CLONE, []uint64{thread | unix.CLONE_SYSVSEM}, unix.SECCOMP_RET_ALLOW},
		{"a thread with files of its own", architecture, unix.SYS_CLONE, []uint64{thread &^ unix.CLONE_FILES}, unix.SECCOMP_RET_USER_NOTIF},
		{"a thread with a directory of its own", architecture, unix.SYS_CLONE, []uint64{thread &^ unix.CLONE_FS}, unix.SECCOMP_RET_USER_NOTIF},
		{"close descriptors", architecture, unix.SYS_CLOSE_RANGE, []uint64{3, 9, unix.CLOSE_RANGE_CLOEXEC}, unix.SECCOMP_RET_ALLOW},
		{"close descriptors of one's own", architecture, unix.SYS_CLOSE_RANGE, []uint64{3, 9, unix.CLOSE_RANGE_UNSHARE | unix.CLOSE_RANGE_CLOEXEC}, errno(unix.EPERM)},
		{"name a thread", architecture, unix.SYS_PRCTL, []uint64{unix.PR_SET_NAME}, unix.SECCOMP_RET_ALLOW},
		{"a filter by prctl", architecture, unix.SYS_PRCTL, []uint64{unix.PR_SET_SECCOMP, 2}, errno(unix.EPERM)},
		{"hide from the measure", architecture, unix.SYS_PRCTL, []uint64{unix.PR_SET_DUMPABLE, 0}, errno(unix.EPERM)},
		{"its own limits", architecture, unix.SYS_PRLIMIT64, []uint64{0, unix.RLIMIT_NOFILE}, unix.SECCOMP_RET_ALLOW},
		{"another's limits", architecture, unix.SYS_PRLIMIT64, []uint64{1, unix.RLIMIT_NOFILE}, errno(unix.EPERM)},
		{"a process", architecture, unix.SYS_CLONE, []uint64{unix.CLONE_VM | unix.CLONE_VFORK}, unix.SECCOMP_RET_USER_NOTIF},
		{"a process, by the upper half", architecture, unix.SYS_CLONE, []uint64{unix.CLONE_THREAD << 32}, unix.SECCOMP_RET_USER_NOTIF},
		{"clone3", architecture, unix.SYS_CLONE3, nil, errno(unix.ENOSYS)},
		{"ptrace", architecture, unix.SYS_PTRACE, nil, errno(unix.EPERM)},
		{"TCP", architecture, unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_STREAM, 0}, unix.SECCOMP_RET_ALLOW},
		{"TCP over IPv6", architecture, unix.SYS_SOCKET, []uint64{unix.AF_INET6, unix.SOCK_STREAM, 0}, unix.SECCOMP_RET_ALLOW},
		{"Unix", architecture, unix.SYS_SOCKET, []uint64{unix.AF_UNIX, unix.SOCK_STREAM, 0}, unix.SECCOMP_RET_ALLOW},
		{"the list of interfaces", architecture, unix.SYS_SOCKET, []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, unix.SECCOMP_RET_ALLOW},
		{"audit", architecture, unix.SYS_SOCKET, []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT}, errno(unix.EAFNOSUPPORT)},
		{"vsock", architecture, unix.SYS_SOCKET, []uint64{unix.AF_VSOCK, unix.SOCK_STREAM, 0}, errno(unix.EAFNOSUPPORT)},
		{"a pair of Unix sockets", architecture, unix.SYS_SOCKETPAIR, []uint64{unix.AF_UNIX}, unix.SECCOMP_RET_ALLOW},
		{"a pair of others", architecture, unix.SYS_SOCKETPAIR, []uint64{unix.AF_TIPC}, errno(unix.EAFNOSUPPORT)},
	} {
		if got := verdict(t, c.arch, c.number, c.args...); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, got, c.want)
		}
	}
	for _, number := range refused {
		if got := verdict(t, architecture, number); got != errno(unix.EPERM) {
			t.Errorf("call %d: %#x", number, got)
		}
	}
}

// What CoreCLR does not start without (seen with pwsh 7.6) is allowed.
func TestNeeded(t *testing.T) {
	for _, number := range []uint32{
		unix.SYS_SCHED_SETAFFINITY, unix.SYS_PRLIMIT64, unix.SYS_SYSINFO, unix.SYS_PIPE2, unix.SYS_SIGALTSTACK,
		unix.SYS_MEMBARRIER, unix.SYS_FUTEX, unix.SYS_MMAP, unix.SYS_EPOLL_CREATE1,
	} {
		if slices.Contains(refused, number) || verdict(t, architecture, number) != unix.SECCOMP_RET_ALLOW {
			t.Errorf("call %d is refused", number)
		}
	}
}
