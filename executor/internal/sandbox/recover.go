package sandbox

import (
	"fmt"
	"os"
	"strings"
)

// recordPath is where a room's processes are recorded: beside the work directory, not in it.
func recordPath(dir string) string { return dir + ".processes" }

// record writes down the room's processes before they are told what to do. The record has to outlive Airlock, not the
// machine, so it is not synced.
func (r *room) record() error {
	var b strings.Builder
	for _, p := range r.processes {
		fmt.Fprintf(&b, "%d %d %s\n", p.id.pid, p.id.start, p.id.boot)
	}
	return os.WriteFile(recordPath(r.dir), []byte(b.String()), 0o600)
}

func readRecord(dir string) []identity {
	data, err := os.ReadFile(recordPath(dir))
	if err != nil {
		return nil // killed before the record was written, or there was no process
	}
	var ids []identity
	for line := range strings.Lines(string(data)) {
		var id identity
		if n, _ := fmt.Sscanf(line, "%d %d %s", &id.pid, &id.start, &id.boot); n == 3 && id.pid > 1 {
			ids = append(ids, id)
		}
	}
	return ids
}

// Recover implements Sandbox. It kills a process only where it is sure of it: one of a recorded session whose leader
// is still the recorded one, one of such a session without a leader that stands in the work directory, or any that
// has the work directory's home as HOME.
func (n *None) Recover(dir string) error {
	sessions := map[int]uint64{}
	for _, id := range readRecord(dir) {
		if id.boot == n.boot {
			sessions[id.pid] = id.start
		}
	}
	err := sweep(func(p process) bool {
		if hasHome(p.pid, dir) {
			return true
		}
		start, recorded := sessions[p.session]
		if !recorded || p.start < start {
			return false
		}
		if leader, alive := look(p.session); alive {
			return leader.start == start
		}
		return within(p.pid, dir)
	})
	if err != nil {
		return err
	}
	return os.RemoveAll(recordPath(dir))
}
