package stage

import (
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// makeRoom builds the room and moves into it. What the machine has is opened first, as the user that the executor is;
// what is new is made as the room's user.
func makeRoom(args []string) error {
	l, err := parseLayout(args)
	if err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return doing("keep mounts to the room", err)
	}
	// No user namespaces in the room. Second to the filter, so it may fail.
	_ = os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0)
	// What is short of memory looks here first.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0)
	if err := raiseNetwork(); err != nil {
		return err
	}
	at, err := unix.Open(l.Mountpoint, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return doing("open the work directory", err)
	}
	programRoots = append(programRoots, l.Runtime...)
	trees, err := l.trees()
	if err != nil {
		return err
	}
	if err := become(l.ID); err != nil {
		return err
	}
	root, err := newMount("tmpfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC, "mode", "0755", "size", "1m")
	if err != nil {
		return err
	}
	if err := unix.MoveMount(root, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH); err != nil {
		return doing("mount the room's root", err)
	}
	if err := unix.Fchdir(root); err != nil {
		return doing("enter the room's root", err)
	}
	for _, t := range trees {
		if err := t.attach(); err != nil {
			return err
		}
	}
	if err := mountProc(); err != nil {
		return err
	}
	if err := enter(root); err != nil {
		return err
	}
	unix.Close(at)
	unix.Close(root)
	// Nothing of the stage can be looked at by the programs, which have the same user.
	return doing("hide the stage", unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
}

// become makes all threads of the stage those of the room's user. It keeps its capabilities, as no user 0 is mapped.
func become(id int) error {
	if id == 0 {
		return nil
	}
	if err := syscall.Setgroups(nil); err != nil {
		return doing("leave the groups", err)
	}
	if err := syscall.Setresgid(id, id, id); err != nil {
		return doing("become the room's group", err)
	}
	if err := syscall.Setresuid(id, id, id); err != nil {
		return doing("become the room's user", err)
	}
	// A change of user takes the signal back that ends the stage with the executor.
	return doing("end with the executor", unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0))
}

// tree is something of the machine that is to be seen in the room.
type tree struct {
	path      string // in the room
	link      string // a symbolic link's text; then there is no mount
	mount     int    // a detached copy of its mount
	directory bool
}

// Attributes of mounts in a room.
const (
	closed   = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	readOnly = closed | unix.MOUNT_ATTR_RDONLY
	programs = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_RDONLY
	devices  = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_RDONLY
)

// trees opens what the layout names.
func (l Layout) trees() (all []tree, err error) {
	add := func(from, to string, attributes uint64) {
		if err == nil {
			var t tree
			t, err = openTree(from, to, attributes)
			all = append(all, t)
		}
	}
	add(l.Home, Home, closed)
	add(l.Tmp, Tmp, closed)
	add(l.Tmp, "/tmp", closed)
	add(l.Etc, Etc, readOnly)
	add(l.Package, Package, programs)
	for _, name := range []string{"null", "zero", "full", "random", "urandom"} {
		add("/dev/"+name, "/dev/"+name, devices)
	}
	for _, path := range l.Runtime {
		add(path, path, programs)
	}
	for name, dir := range l.Libraries {
		add(dir, Libraries+"/"+name, programs)
	}
	return all, err
}

// openTree copies the mount of a directory or file, with those below it.
func openTree(from, to string, attributes uint64) (t tree, err error) {
	info, err := os.Lstat(from)
	if err != nil {
		return t, err
	}
	t = tree{path: to, directory: info.IsDir()}
	if info.Mode()&os.ModeSymlink != 0 {
		t.link, err = os.Readlink(from)
		return t, err
	}
	t.mount, err = unix.OpenTree(unix.AT_FDCWD, from, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return t, doing("open "+from+" for the room", err)
	}
	attr := &unix.MountAttr{Attr_set: attributes}
	err = unix.MountSetattr(t.mount, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, attr)
	return t, doing("restrict "+from+" in the room", err)
}

// attach puts the tree in its place, below the current directory.
func (t tree) attach() error {
	path := strings.TrimPrefix(t.path, "/")
	parent := path[:max(0, strings.LastIndexByte(path, '/'))]
	if t.directory {
		parent = path
	}
	if err := os.MkdirAll(parent, 0o755); parent != "" && err != nil {
		return err
	}
	if t.link != "" {
		return os.Symlink(t.link, path)
	}
	if !t.directory {
		if err := unix.Mknod(path, unix.S_IFREG|0o444, 0); err != nil {
			return doing("make "+t.path+" in the room", err)
		}
	}
	defer unix.Close(t.mount)
	return doing("mount "+t.path+" in the room", unix.MoveMount(t.mount, "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH))
}

// mountProc mounts a /proc with the processes of the room only, of which one sees no other's.
func mountProc() error {
	proc, err := newMount("proc", closed, "hidepid", "invisible", "subset", "pid")
	if err != nil {
		return err
	}
	defer unix.Close(proc)
	if err := unix.Mkdir("proc", 0o555); err != nil {
		return doing("make /proc in the room", err)
	}
	return doing("mount /proc in the room", unix.MoveMount(proc, "", unix.AT_FDCWD, "proc", unix.MOVE_MOUNT_F_EMPTY_PATH))
}

// newMount makes a new file system with options, as name and value, and a detached mount of it.
func newMount(kind string, attributes int, options ...string) (int, error) {
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, doing("open a new "+kind, err)
	}
	defer unix.Close(fs)
	for i := 0; i+1 < len(options); i += 2 {
		if err := unix.FsconfigSetString(fs, options[i], options[i+1]); err != nil {
			return -1, doing("set "+options[i]+" of a new "+kind, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, doing("make a new "+kind, err)
	}
	m, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attributes)
	return m, doing("mount a new "+kind, err)
}

// enter makes the current directory, a mount, the root, read-only, and takes the machine's away.
func enter(root int) error {
	attr := &unix.MountAttr{Attr_set: readOnly}
	if err := unix.MountSetattr(root, "", unix.AT_EMPTY_PATH, attr); err != nil {
		return doing("make the room's root read-only", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return doing("make the room's root the root", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return doing("take the machine's root away", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return doing("go to the root", err)
	}
	return doing("name the room", unix.Sethostname([]byte("airlock")))
}
