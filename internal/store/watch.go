package store

import "sync"

// watchers wakes those who wait for changes. A wake-up says that something is new, not what: who is woken reads.
// Several changes before the waiter comes to read are one wake-up.
type watchers struct {
	mu   sync.Mutex
	byID map[string]map[chan struct{}]struct{}
	work chan struct{}
}

func (w *watchers) init() {
	w.byID = map[string]map[chan struct{}]struct{}{}
	w.work = make(chan struct{}, 1)
}

func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

func (w *watchers) wake(ids []string, work bool) {
	if work {
		ring(w.work)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		for bell := range w.byID[id] {
			ring(bell)
		}
	}
}

// Watch wakes whenever something about the execution has changed: its state, its output, that its record is gone.
// Begin to watch, then read, then wait. Call stop when done.
func (s *Store) Watch(id string) (changed <-chan struct{}, stop func()) {
	w, bell := &s.watchers, make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byID[id] == nil {
		w.byID[id] = map[chan struct{}]struct{}{}
	}
	w.byID[id][bell] = struct{}{}
	return bell, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.byID[id], bell)
		if len(w.byID[id]) == 0 {
			delete(w.byID, id)
		}
	}
}

// Work wakes when something was queued or a lane has become free. It is one channel for one executor.
func (s *Store) Work() <-chan struct{} { return s.watchers.work }
