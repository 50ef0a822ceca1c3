package sandbox

// Still stops the programs of an isolated room, as for a measurement, and returns what lets them go on.
func Still(r Room) (let func()) { return r.(*isolatedRoom).still() }

// Stopped says whether all programs of an isolated room are stopped, and that there is one.
func Stopped(r Room) bool {
	programs := r.(*isolatedRoom).programs()
	for _, p := range programs {
		if !stopped(p.Pid) {
			return false
		}
	}
	return len(programs) > 0
}
