package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// taken is the memory that a process has, in bytes, where no control group counts it: what is resident of its own and
// of files (proc_pid_status(5)), and all of what it shares, which it can keep without being resident
// (proc_pid_maps(5)). Any of its threads stands for it.
func taken(tid int) (n int64) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	for line := range bytes.Lines(status) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch string(name) {
		case "RssAnon", "RssFile", "VmSwap":
			if fields := bytes.Fields(value); len(fields) > 0 {
				kib, _ := strconv.ParseInt(string(fields[0]), 10, 64)
				n += kib << 10
			}
		}
	}
	maps, _ := os.ReadFile(fmt.Sprintf("/proc/%d/maps", tid))
	for line := range bytes.Lines(maps) {
		if bytes.Contains(line, []byte(" /dev/zero (deleted)")) { // its name for shared memory without a file
			n += size(line)
		}
	}
	return n
}

// size is the size of a mapping, of which a line begins with the addresses.
func size(line []byte) int64 {
	addresses, _, _ := bytes.Cut(line, []byte(" "))
	from, to, _ := bytes.Cut(addresses, []byte("-"))
	begin, err := strconv.ParseUint(string(from), 16, 64)
	end, err2 := strconv.ParseUint(string(to), 16, 64)
	if err != nil || err2 != nil || end < begin {
		return 0
	}
	return int64(end - begin)
}
