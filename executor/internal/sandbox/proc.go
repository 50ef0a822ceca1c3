package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// identity names a process beyond its pid, which the kernel gives out again: proc(5), fields of /proc/pid/stat.
type identity struct {
	pid   int
	start uint64 // clock ticks after boot
	boot  string // the kernel's boot id
}

// process is what /proc/pid/stat says.
type process struct {
	identity
	session int
	state   byte
	threads int
}

// dead says whether nothing of the process runs. A zombie may only be the first thread of one that still comes to its
// end, files and all.
func (p process) dead() bool { return p.state == 'X' || p.state == 'Z' && p.threads <= 1 }

// look reads a process; false where there is none.
func look(pid int) (process, bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, false
	}
	return parseStat(pid, data)
}

// stopped says whether all threads of a process are stopped or have ended.
func stopped(pid int) bool {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return true
	}
	for _, t := range tasks {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/stat", pid, t.Name()))
		if err != nil {
			continue
		}
		if p, ok := parseStat(pid, data); ok && !strings.ContainsRune("TtZX", rune(p.state)) {
			return false
		}
	}
	return true
}

// parseStat reads the line of /proc/pid/stat. The second field is the program's name in parentheses, in which
// anything may stand.
func parseStat(pid int, data []byte) (process, bool) {
	i := bytes.LastIndexByte(data, ')')
	if i < 0 {
		return process{}, false
	}
	fields := strings.Fields(string(data[i+1:])) // from field 3 on
	if len(fields) < 20 || len(fields[0]) != 1 {
		return process{}, false
	}
	session, err1 := strconv.Atoi(fields[3])
	threads, err2 := strconv.Atoi(fields[17])
	start, err3 := strconv.ParseUint(fields[19], 10, 64)
	if err1 != nil || err2 != nil || err3 != nil {
		return process{}, false
	}
	return process{identity{pid: pid, start: start}, session, fields[0][0], threads}, true
}

func bootID() string {
	data, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(data))
}

// marks are what tells a room's process that has left the session: each is inherited, unless the process means to hide.
type marks struct {
	dir   string   // the work directory: HOME is in it
	pipes []string // the room's pipes and sockets, as links in /proc/pid/fd name them
}

// on says whether the process has one of the marks.
func (m marks) on(pid int) bool { return m.home(pid) || m.holds(pid) }

func (m marks) home(pid int) bool {
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return false
	}
	mark := []byte("HOME=" + filepath.Join(m.dir, Home) + "\x00")
	return bytes.HasPrefix(environ, mark) || bytes.Contains(environ, append([]byte{0}, mark...))
}

// holds says whether the process has a pipe or socket of the room open. A child of Airlock's own that has forked and
// is still to exec has them all, but also Airlock's executable.
func (m marks) holds(pid int) bool {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	own, ownErr := os.Readlink("/proc/self/exe")
	if err != nil || ownErr != nil || exe == own {
		return false
	}
	fds := fmt.Sprintf("/proc/%d/fd", pid)
	entries, _ := os.ReadDir(fds)
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join(fds, e.Name())); err == nil && slices.Contains(m.pipes, to) {
			return true
		}
	}
	return false
}

// within says whether the process stands in the work directory.
func (m marks) within(pid int) bool {
	cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	return err == nil && (cwd == m.dir || strings.HasPrefix(cwd, m.dir+"/"))
}

// pipesOf names those of the files that are pipes or sockets.
func pipesOf(files []*os.File) (pipes []string) {
	for _, f := range files {
		to, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
		if err == nil && (strings.HasPrefix(to, "pipe:[") || strings.HasPrefix(to, "socket:[")) {
			pipes = append(pipes, to)
		}
	}
	return pipes
}

// sweep kills the processes that match until there are none. A process that the kernel does not let go of within
// five seconds is an error.
func sweep(match func(process) bool) error {
	killed := map[int]uint64{} // on its way out a process loses its marks before it closes its files
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		found, err := killMatching(func(p process) bool {
			if killed[p.pid] != p.start && !match(p) {
				return false
			}
			killed[p.pid] = p.start
			return true
		})
		if err != nil || found == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d processes did not end when they were killed", found)
		}
	}
}

func killMatching(match func(process) bool) (found int, err error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == os.Getpid() {
			continue
		}
		if p, ok := look(pid); ok && !p.dead() && match(p) {
			found++
			killOnly(p)
		}
	}
	return found, nil
}

// killOnly kills the process that was looked at, and not one that has got its pid since.
func killOnly(p process) {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if now, ok := look(p.pid); ok && now.start == p.start {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	}
}
