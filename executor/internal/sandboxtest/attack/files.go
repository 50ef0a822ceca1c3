package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

var _ = register(map[string]func(target) error{
	"read a file of the machine":            func(t target) error { return holds(t.Secret, t.Canary) },
	"write a file of the machine":           func(t target) error { return os.WriteFile(filepath.Join(t.Directory, "was-here"), nil, 0o600) },
	"list the machine's root":               func(target) error { _, err := os.ReadDir("/usr/bin"); return err },
	"read the machine's users":              func(target) error { return holds("/etc/passwd", "root:") },
	"follow a symbolic link out":            throughSymlink,
	"hard-link a file of the machine":       func(t target) error { return os.Link(t.Secret, filepath.Join(home(), "linked")) },
	"climb out of the work directory":       func(t target) error { return holds(strings.Repeat("../", 40)+t.Secret, t.Canary) },
	"rename a file out":                     renameOut,
	"look through the root of a process":    func(t target) error { return holds(process(t, "root")+t.Secret, t.Canary) },
	"look through the root of init":         func(t target) error { return holds("/proc/1/root"+t.Secret, t.Canary) },
	"open the machine's disk":               openDisk,
	"open a file by its handle":             openByHandle,
	"change the package":                    changePackage,
	"execute memory of a written file":      mapExecutable,
	"change the kernel's settings":          func(target) error { return rewrite("/proc/sys/kernel/core_pattern") },
	"read the kernel's settings":            func(target) error { _, err := os.ReadFile("/proc/sys/kernel/core_pattern"); return err },
	"read the machine's devices":            func(target) error { _, err := os.ReadDir("/sys/devices"); return err },
	"write to the machine's shared memory":  sharedMemoryFile,
	"change /etc/hosts":                     func(target) error { return rewrite("/etc/hosts") },
	"mount a file system":                   mountOver,
	"open a file system":                    openFileSystem,
	"copy a mount":                          copyMount,
	"change the root":                       func(target) error { return unix.Chroot(".") },
	"list mounts":                           listMounts,
	"make a file that changes the user":     setUserID,
	"read the mounts of the machine":        readMounts,
	"bring back what is below a mount":      func(target) error { return unix.Unmount("/proc", unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) },
	"watch files of others":                 fanotify,
	"write through a descriptor's own link": reopen,
})

func home() string { return os.Getenv("HOME") }

// holds succeeds where a file has a text.
func holds(path, text string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Contains(data, []byte(text)) {
		return errNotFound
	}
	return nil
}

// rewrite writes a file as it is.
func rewrite(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

func process(t target, file string) string { return fmt.Sprintf("/proc/%d/%s", t.Process, file) }

func throughSymlink(t target) error {
	link := filepath.Join(home(), "link")
	if err := os.Symlink(t.Secret, link); err != nil {
		return err
	}
	return holds(link, t.Canary)
}

func renameOut(t target) error {
	path := filepath.Join(home(), "renamed")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	return os.Rename(path, filepath.Join(t.Directory, "renamed"))
}

func openDisk(target) error {
	var s unix.Stat_t
	if err := unix.Stat(home(), &s); err != nil {
		return err
	}
	path := filepath.Join(home(), "disk")
	if err := unix.Mknod(path, unix.S_IFBLK|0o600, int(s.Dev)); err != nil {
		return err
	}
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func openByHandle(target) error {
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, home(), 0)
	if err != nil {
		return err
	}
	at, err := unix.Open(home(), unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	_, err = unix.OpenByHandleAt(at, handle, unix.O_RDONLY)
	return err
}

func changePackage(target) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(filepath.Dir(exe), "was-here"), nil, 0o600)
}

func mapExecutable(target) error {
	f, err := os.Create(filepath.Join(home(), "code"))
	if err != nil {
		return err
	}
	if err := f.Truncate(4096); err != nil {
		return err
	}
	_, err = unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE)
	return err
}

func sharedMemoryFile(target) error {
	const path = "/dev/shm/airlock-attack"
	if err := os.WriteFile(path, []byte("here"), 0o600); err != nil {
		return err
	}
	return os.Remove(path)
}

func mountOver(target) error {
	if err := unix.Mount("tmpfs", home(), "tmpfs", 0, ""); err != nil {
		return err
	}
	return unix.Unmount(home(), unix.MNT_DETACH)
}

func openFileSystem(target) error {
	_, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	return err
}

func copyMount(target) error {
	_, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	return err
}

func listMounts(target) error {
	request := struct {
		size, spare    uint32
		mount, param   uint64
		mountNamespace uint64
	}{size: 32, mount: ^uint64(0)} // LSMT_ROOT
	ids := make([]uint64, 16)
	_, _, errno := unix.Syscall6(unix.SYS_LISTMOUNT, uintptr(unsafe.Pointer(&request)), uintptr(unsafe.Pointer(&ids[0])), 16, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// setUserID makes a file that would change who executes it, and sees whether it is on a mount that honours it.
func setUserID(target) error {
	var s unix.Statfs_t
	if err := unix.Statfs(home(), &s); err != nil {
		return err
	}
	if s.Flags&unix.ST_NOSUID != 0 {
		return fmt.Errorf("the file system is nosuid")
	}
	return os.WriteFile(filepath.Join(home(), "suid"), nil, 0o4755)
}

func readMounts(t target) error {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	if n := bytes.Count(data, []byte(" /sys")); n == 0 {
		return errNotFound
	}
	return nil
}

func fanotify(target) error {
	_, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_REPORT_FID, unix.O_RDONLY)
	return err
}

// reopen opens a descriptor that was opened for reading again, for writing.
func reopen(target) error {
	exe, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", exe.Fd()), os.O_WRONLY, 0)
	if err == nil || err.(*os.PathError).Err == unix.ETXTBSY { // only that it runs kept it
		if f != nil {
			f.Close()
		}
		return nil
	}
	return err
}
