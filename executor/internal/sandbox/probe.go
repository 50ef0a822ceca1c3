package sandbox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/executor/internal/sandbox/cgroup"
)

// Feature is something of the kernel that the isolating sandbox uses.
type Feature struct {
	Name   string
	Found  bool
	Needed bool   // without it there is no isolation
	Lost   string // what is lost without it
	Fix    string // how to get it
}

// Probe tries each feature out, as the user that it runs as. The last one is a room as executions have it: it may fail
// where each part is there, and then says of what.
func Probe(ctx context.Context) []Feature {
	all := []Feature{}
	add := func(needed bool, name string, err error, lost, fix string) {
		all = append(all, Feature{name, err == nil, needed, lost, fix})
	}
	spawn, err := newSpawner()
	if err != nil {
		add(true, "closing of inherited descriptors", err, "isolation", "use Linux 5.11 or newer")
		return all
	}
	defer spawn.close()
	const container = "in a container, let its seccomp profile allow it (Docker: --security-opt seccomp=unconfined)"
	add(true, "user namespaces", try(spawn, 0), "isolation: a script is an ordinary process of Airlock's user",
		"set the sysctl user.max_user_namespaces above 0; on Debian kernel.unprivileged_userns_clone=1, on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0; "+container)
	for _, n := range []struct {
		name string
		flag uintptr
		lost string
	}{
		{"mount", unix.CLONE_NEWNS, "the machine's files are seen"},
		{"process", unix.CLONE_NEWPID, "other processes are seen, and a kill is not total"},
		{"network", unix.CLONE_NEWNET, "the machine's network is reached"},
		{"IPC", unix.CLONE_NEWIPC, "shared memory of others is seen"},
		{"host name", unix.CLONE_NEWUTS, "the machine's name is seen"},
		{"control group", unix.CLONE_NEWCGROUP, "the names of control groups are seen"},
	} {
		add(true, n.name+" namespaces", try(spawn, n.flag), "isolation: "+n.lost, "use a kernel with all namespaces, and set user.max_*_namespaces above 0; "+container)
	}
	add(true, "new mount interface", mountInterface(), "isolation: a room's file system cannot be made", "use Linux 5.12 or newer; "+container)
	add(true, "seccomp user notification", notification(), "isolation: a script could start programs", "use Linux 5.9 or newer with CONFIG_SECCOMP_FILTER")
	landlock := landlockVersion()
	add(false, "Landlock", missing(landlock < 1), "a second guard behind mounts; they hold alone", "use Linux 5.13 or newer with CONFIG_SECURITY_LANDLOCK, and landlock in the boot parameter lsm")
	add(false, "Landlock scopes", missing(landlock < 6), "a second guard behind the process and network namespaces; they hold alone", "use Linux 6.12 or newer")
	_, err = cgroup.Find()
	add(false, "control groups", err, "an exact bound of memory and threads: memory is measured ten times a second instead, and a script may be told of too many threads in its own words only",
		"give Airlock's service Delegate=memory pids and DelegateSubgroup=airlock (systemd 254 or newer), or run Airlock as root"+because(err))
	add(false, "files behind memory", mappedFiles(), "a part of the bound of the work directory: deleted files that a script has mapped and closed are not seen",
		"give Airlock's service CAP_CHECKPOINT_RESTORE (systemd: AmbientCapabilities=), or run Airlock as root")
	err = tryRoom(ctx)
	add(true, "a room", err, "isolation"+because(err), "see what is missing above; if nothing is, the message says what the kernel refused")
	return all
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return fmt.Sprintf(" (%v)", err)
}

func missing(is bool) error {
	if is {
		return unix.ENOSYS
	}
	return nil
}

// try starts a stage in a user namespace and others.
func try(s *spawner, flags uintptr) error {
	sh, err := newShell(s, flags)
	if err == nil {
		sh.end()
	}
	return err
}

// mountInterface says whether the kernel knows the calls that rooms are made with; those here ask for nothing.
func mountInterface() error {
	for _, call := range []uintptr{unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_MOUNT_SETATTR} {
		if _, _, errno := unix.Syscall6(call, ^uintptr(0), 0, ^uintptr(0), 0, 0, 0); errno == unix.ENOSYS {
			return errno
		}
	}
	return nil
}

func notification() error {
	action := uint32(unix.SECCOMP_RET_USER_NOTIF)
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action))); errno != 0 {
		return errno
	}
	return nil
}

func landlockVersion() int {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(v)
}

// mappedFiles says whether the files can be seen that a process has mapped.
func mappedFiles() error {
	const dir = "/proc/self/map_files"
	names, err := os.ReadDir(dir)
	if err == nil && len(names) > 0 {
		_, err = os.Stat(filepath.Join(dir, names[0].Name()))
	}
	return err
}

// tryRoom opens a room, with a listener.
func tryRoom(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "airlock-probe-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, name := range []string{Home, Tmp, "package"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	s, err := NewIsolated(Limits{})
	if err != nil {
		return err
	}
	defer s.Close()
	r, err := s.Open(ctx, Place{Dir: dir, Package: filepath.Join(dir, "package")})
	if err != nil {
		return err
	}
	_, err = r.Listen("vc", 443)
	if closeErr := r.Close(); err == nil {
		err = closeErr
	}
	return err
}
