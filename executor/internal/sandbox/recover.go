package sandbox

import (
	"fmt"
	"os"
	"strings"
)

// recordPath is where a room's processes are recorded: beside the work directory, not in it.
func recordPath(dir string) string { return dir + ".processes" }

// record writes down the room's processes and pipes before they are told what to do. It has to outlive Airlock, not
// the machine, so it is not synced.
func (r *room) record() error {
	var b strings.Builder
	for _, p := range r.processes {
		fmt.Fprintf(&b, "%d %d %s\n", p.id.pid, p.id.start, p.id.boot)
	}
	for _, pipe := range r.pipes {
		fmt.Fprintln(&b, pipe)
	}
	return os.WriteFile(recordPath(r.dir), []byte(b.String()), 0o600)
}

func readRecord(dir string) (ids []identity, pipes []string) {
	data, err := os.ReadFile(recordPath(dir))
	if err != nil {
		return nil, nil // killed before the record was written, or there was no process
	}
	for line := range strings.Lines(string(data)) {
		var id identity
		if n, _ := fmt.Sscanf(line, "%d %d %s", &id.pid, &id.start, &id.boot); n == 3 && id.pid > 1 {
			ids = append(ids, id)
		} else if n == 0 {
			pipes = append(pipes, strings.TrimSpace(line))
		}
	}
	return ids, pipes
}

// Recover implements Sandbox. It kills a process only where it is sure of it: one of a recorded session whose leader
// is still the recorded one, one of such a session without a leader that stands in the work directory, one that holds
// a pipe of the room, or any that has the work directory's home as HOME.
func (n *None) Recover(dir string) error {
	ids, pipes := readRecord(dir)
	first, sessions := uint64(0), map[int]uint64{}
	for _, id := range ids {
		if id.boot == n.boot {
			if sessions[id.pid] = id.start; first == 0 || id.start < first {
				first = id.start
			}
		}
	}
	m := marks{dir: dir}
	if first > 0 {
		m.pipes = pipes // of this boot
	}
	err := sweep(func(p process) bool {
		if p.start < first {
			return false
		}
		if m.on(p.pid) {
			return true
		}
		start, recorded := sessions[p.session]
		if !recorded {
			return false
		}
		if leader, alive := look(p.session); alive {
			return leader.start == start
		}
		return m.within(p.pid)
	})
	if err != nil {
		return err
	}
	return os.RemoveAll(recordPath(dir))
}
