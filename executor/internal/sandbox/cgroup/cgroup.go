// Package cgroup bounds the memory and the threads of a process with a control group: cgroups(7). It uses version 2
// where a part of the tree is delegated to Airlock (systemd: Delegate=yes with DelegateSubgroup=airlock), else
// version 1 where Airlock may make groups below its own ones, which takes root.
package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Parent is where groups are made.
type Parent struct {
	v2           bool
	memory, pids string // directories; the same one in version 2
}

// Find finds a parent. The error says why there is none.
func Find() (*Parent, error) {
	own, err := readOwn()
	if err != nil {
		return nil, err
	}
	p, err2 := findV2(own)
	if err2 == nil {
		return p, nil
	}
	p, err1 := findV1(own)
	if err1 == nil {
		return p, nil
	}
	return nil, fmt.Errorf("version 2: %w; version 1: %w", err2, err1)
}

// findV1 finds Airlock's own groups in the hierarchies of version 1.
func findV1(own map[string]string) (*Parent, error) {
	p := &Parent{memory: own["memory"], pids: own["pids"]}
	for _, dir := range []string{p.memory, p.pids} {
		if dir == "" {
			return nil, errors.New("its controllers memory and pids are not mounted")
		}
		if err := unix.Access(dir, unix.W_OK); err != nil {
			return nil, fmt.Errorf("%s is not writable: %w", dir, err)
		}
	}
	return p, nil
}

// findV2 finds a group that is Airlock's to divide. One with processes in it cannot be divided, so it is either the
// one above Airlock's own, or Airlock moves down itself.
func findV2(own map[string]string) (*Parent, error) {
	dir := own[""]
	if dir == "" {
		return nil, errors.New("it is not mounted")
	}
	if above := filepath.Dir(dir); delegated(above) {
		dir = above
	} else if !delegated(dir) {
		return nil, fmt.Errorf("%s is not delegated", dir)
	} else if err := moveTo(filepath.Join(dir, "airlock")); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+memory +pids"), 0); err != nil {
		return nil, err
	}
	return &Parent{v2: true, memory: dir, pids: dir}, nil
}

// delegated says whether systemd has given a group away (systemd's CGROUP_DELEGATION).
func delegated(dir string) bool {
	for _, name := range []string{"user.delegate", "trusted.delegate"} {
		value := make([]byte, 1)
		if n, err := unix.Getxattr(dir, name, value); err == nil && n == 1 && value[0] == '1' {
			return unix.Access(dir, unix.W_OK) == nil
		}
	}
	return false
}

func moveTo(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0)
}

// Bounds are what a group may have.
type Bounds struct {
	Memory  int64 // bytes, the kernel's memory for it and the page cache included; swap is not given
	Threads int
}

// Group is a control group.
type Group struct{ memory, pids string }

func (p *Parent) group(name string) *Group {
	return &Group{filepath.Join(p.memory, name), filepath.Join(p.pids, name)}
}

// Make makes a group.
func (p *Parent) Make(name string, b Bounds) (*Group, error) {
	g := p.group(name)
	memory := strconv.FormatInt(b.Memory, 10)
	must := map[string]string{filepath.Join(g.memory, "memory.max"): memory}
	may := map[string]string{filepath.Join(g.memory, "memory.swap.max"): "0"}
	if !p.v2 {
		must = map[string]string{filepath.Join(g.memory, "memory.limit_in_bytes"): memory}
		may = map[string]string{
			filepath.Join(g.memory, "memory.memsw.limit_in_bytes"):    memory,
			filepath.Join(g.memory, "memory.kmem.tcp.limit_in_bytes"): memory, // counted apart
		}
	}
	must[filepath.Join(g.pids, "pids.max")] = strconv.Itoa(b.Threads)
	for _, dir := range []string{g.memory, g.pids} {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, errors.Join(err, g.Remove())
		}
	}
	for path, value := range must {
		if err := os.WriteFile(path, []byte(value), 0); err != nil {
			return nil, errors.Join(err, g.Remove())
		}
	}
	for path, value := range may { // a machine without swap has none of these
		_ = os.WriteFile(path, []byte(value), 0)
	}
	return g, nil
}

// Add puts a process into the group.
func (g *Group) Add(pid int) error {
	for _, dir := range []string{g.memory, g.pids} {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
			return err
		}
	}
	return nil
}

// Hit says which bounds the group's processes have run into: somebody was killed for the memory, or a thread refused.
func (g *Group) Hit() (memory, threads bool) {
	memory = count(filepath.Join(g.memory, "memory.events"), "oom_kill") > 0 ||
		count(filepath.Join(g.memory, "memory.oom_control"), "oom_kill") > 0
	return memory, count(filepath.Join(g.pids, "pids.events"), "max") > 0
}

// count reads a number from a file of names and numbers; 0 where there is none.
func count(path, name string) int {
	data, _ := os.ReadFile(path)
	for line := range bytes.Lines(data) {
		if key, value, ok := bytes.Cut(bytes.TrimSpace(line), []byte(" ")); ok && string(key) == name {
			n, _ := strconv.Atoi(string(value))
			return n
		}
	}
	return 0
}

// Remove removes the group. Its processes must have been killed; it waits up to five seconds until they have left.
func (g *Group) Remove() error {
	var errs []error
	deadline := time.Now().Add(5 * time.Second)
	for _, dir := range []string{g.memory, g.pids} {
		err := unix.Rmdir(dir)
		for ; err == unix.EBUSY && time.Now().Before(deadline); err = unix.Rmdir(dir) {
			time.Sleep(time.Millisecond)
		}
		if err != nil && err != unix.ENOENT {
			errs = append(errs, fmt.Errorf("remove %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}

// Remove removes the group of a name, if there is one.
func (p *Parent) Remove(name string) error { return p.group(name).Remove() }

// readOwn finds the directories of this process's groups, by controller; that of version 2 has the name "".
func readOwn() (map[string]string, error) {
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return ownGroups(string(groups), string(mounts)), nil
}

// ownGroups joins /proc/self/cgroup (cgroups(7)) and /proc/self/mountinfo (proc_pid_mountinfo(5)).
func ownGroups(groups, mounts string) map[string]string {
	paths := map[string]string{}
	for line := range strings.Lines(groups) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) == 3 {
			for controller := range strings.SplitSeq(fields[1], ",") {
				paths[controller] = fields[2]
			}
		}
	}
	own := map[string]string{}
	for line := range strings.Lines(mounts) {
		front, back, ok := strings.Cut(strings.TrimSpace(line), " - ")
		at, about := strings.Fields(front), strings.Fields(back)
		if !ok || len(at) < 5 || len(about) < 3 || about[0] != "cgroup" && about[0] != "cgroup2" {
			continue
		}
		controllers := []string{""}
		if about[0] == "cgroup" {
			controllers = strings.Split(about[2], ",")
		}
		for _, c := range controllers {
			if path, ok := paths[c]; ok {
				if rel, err := filepath.Rel(at[3], path); err == nil && filepath.IsLocal(rel) {
					own[c] = filepath.Join(at[4], rel)
				}
			}
		}
	}
	return own
}
