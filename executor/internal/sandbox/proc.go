package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
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
}

func (p process) dead() bool { return p.state == 'Z' || p.state == 'X' }

// look reads a process; false where there is none.
func look(pid int) (process, bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, false
	}
	return parseStat(pid, data)
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
	start, err2 := strconv.ParseUint(fields[19], 10, 64)
	if err1 != nil || err2 != nil {
		return process{}, false
	}
	return process{identity{pid: pid, start: start}, session, fields[0][0]}, true
}

func bootID() string {
	data, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(data))
}

// hasHome says whether the process was started with dir's home as HOME: a mark that what leaves the session keeps,
// unless it means to hide.
func hasHome(pid int, dir string) bool {
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return false
	}
	mark := []byte("HOME=" + filepath.Join(dir, Home) + "\x00")
	return bytes.HasPrefix(environ, mark) || bytes.Contains(environ, append([]byte{0}, mark...))
}

// within says whether the process stands in dir.
func within(pid int, dir string) bool {
	cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	return err == nil && (cwd == dir || strings.HasPrefix(cwd, dir+"/"))
}

// sweep kills the processes that match until there are none. A process that the kernel does not let go of within
// five seconds is an error.
func sweep(match func(process) bool) error {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		found, err := killMatching(match)
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
