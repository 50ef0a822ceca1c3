package stage

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rights to files that Landlock knows, by the version of its interface that brought them: landlock(7).
const (
	fsRights1 = unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1 // all up to making symbolic links
	fsRights2 = fsRights1 | unix.LANDLOCK_ACCESS_FS_REFER
	fsRights3 = fsRights2 | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	fsRights5 = fsRights3 | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV

	fsRead = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	fsWork = fsRights3 &^ (unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK)
)

// programRoots are the directories and files from which programs may be executed.
var programRoots = []string{Package}

// restrictFiles makes Landlock hold the thread to what the mounts already allow, and keeps its signals and abstract
// sockets in the room. A kernel without Landlock has the mounts and namespaces alone.
func restrictFiles() error {
	version, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return nil
	}
	attr := unix.LandlockRulesetAttr{Handled_access_fs: fsRights5}
	size := unsafe.Offsetof(attr.Quiet_access_fs)
	switch {
	case version < 2:
		attr.Handled_access_fs = fsRights1
	case version < 3:
		attr.Handled_access_fs = fsRights2
	case version < 5:
		attr.Handled_access_fs = fsRights3
	}
	if version >= 6 {
		attr.Scoped = unix.LANDLOCK_SCOPE_SIGNAL | unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
	}
	rules, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return doing("make Landlock rules", errno)
	}
	defer unix.Close(int(rules))
	allow := func(path string, rights uint64) error {
		return doing("allow "+path+" by Landlock", allowPath(int(rules), path, rights&attr.Handled_access_fs))
	}
	if err := allow("/", fsRead); err != nil {
		return err
	}
	for _, path := range []string{Home, Tmp, "/tmp"} {
		if err := allow(path, fsWork); err != nil {
			return err
		}
	}
	for _, path := range []string{"/dev/null", "/dev/zero", "/dev/full"} {
		if err := allow(path, unix.LANDLOCK_ACCESS_FS_READ_FILE|unix.LANDLOCK_ACCESS_FS_WRITE_FILE|unix.LANDLOCK_ACCESS_FS_TRUNCATE); err != nil {
			return err
		}
	}
	for _, path := range programRoots {
		if err := allow(path, unix.LANDLOCK_ACCESS_FS_EXECUTE); err != nil {
			return err
		}
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, rules, 0, 0); errno != 0 {
		return doing("restrict the thread by Landlock", errno)
	}
	return nil
}

// allowPath gives rights to a file, or to a directory and what is in it.
func allowPath(rules int, path string, rights uint64) error {
	if info, err := os.Lstat(path); err != nil || info.Mode()&os.ModeSymlink != 0 {
		return err // a link's target has a rule of its own
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	attr := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
	_, _, errno := unix.RawSyscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&attr)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
