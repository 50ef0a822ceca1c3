package cgroup

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

func TestOwnGroups(t *testing.T) {
	const groups = "9:name=systemd:/\n4:memory:/outer/own\n3:cpu,cpuacct:/x\n0::/system.slice/airlock.service\n"
	const mounts = `30 20 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
31 20 0:27 /x /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
32 20 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
33 20 0:29 /elsewhere /mnt rw - cgroup2 cgroup2 rw
34 20 8:1 / / rw - ext4 /dev/sda1 rw
nonsense
`
	own := ownGroups(groups, mounts)
	for controller, want := range map[string]string{
		"memory": "/sys/fs/cgroup/memory/outer/own", "cpu": "/sys/fs/cgroup/cpu", "pids": "",
		"": "/sys/fs/cgroup/unified/system.slice/airlock.service",
	} {
		if own[controller] != want {
			t.Errorf("%q: %q, want %q", controller, own[controller], want)
		}
	}
}

func TestGroup(t *testing.T) {
	p, err := Find()
	if err != nil {
		t.Skip("this machine gives no control groups: ", err)
	}
	name := fmt.Sprint("airlock-test-", os.Getpid())
	g, err := p.Make(name, Bounds{Memory: 64 << 20, Threads: 16})
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("sleep", "1000")
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if err := g.Add(c.Process.Pid); err != nil {
		t.Error(err)
	}
	if memory, threads := g.Hit(); memory || threads {
		t.Error("a process that sleeps has hit a bound")
	}
	_ = c.Process.Kill()
	_ = c.Wait()
	if err := p.Remove(name); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(g.memory); !os.IsNotExist(err) {
		t.Error("the group is still there:", err)
	}
	if err := p.Remove(name); err != nil {
		t.Error("again:", err)
	}
}
