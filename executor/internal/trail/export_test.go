package trail

import "runtime"

// Drain waits until all that was written has been taken from the queue.
func (r *Recorder) Drain() {
	for {
		r.mu.Lock()
		waiting := len(r.queue.events)
		if waiting > 0 {
			r.pace.Now()
		}
		r.mu.Unlock()
		if waiting == 0 {
			return
		}
		runtime.Gosched()
	}
}
