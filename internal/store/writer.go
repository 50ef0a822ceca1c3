package store

import (
	"context"
	"slices"
	"sync"

	"github.com/airlock-run/airlock/internal/errors"
)

// groupMost bounds how many writes share one commit.
const groupMost = 128

// tx is one write: what it reads and changes inside the group's transaction, and whom it wakes once that is durable.
type tx struct {
	view
	changed []string // executions about which something changed
	ended   []string // executions that are final now, or gone
	work    bool     // something can be claimed
	tidy    bool     // something was removed that must not stay in the file or its log
}

// job is a caller's write on its way through the writer.
type job struct {
	do   func(*tx) error
	tx   tx
	err  error
	done chan struct{}
}

// writer owns the one connection that writes. Writes that wait at the same time share a transaction and its fsync;
// each is in a savepoint, so that one that fails leaves the others alone.
type writer struct {
	on          view // whose context never ends: a group is not cut short by one caller
	jobs        chan *job
	checkpoints chan chan checkpointed
	stop        chan struct{}
	stopped     sync.WaitGroup
	committed   func([]*job)
}

type checkpointed struct {
	done bool
	err  error
}

func newWriter(on *statements, committed func([]*job)) *writer {
	w := &writer{
		on: view{context.Background(), on}, jobs: make(chan *job), checkpoints: make(chan chan checkpointed),
		stop: make(chan struct{}), committed: committed,
	}
	w.stopped.Go(w.run)
	return w
}

func (w *writer) close() {
	close(w.stop)
	w.stopped.Wait()
}

var errStopping = errors.Newf(errors.ServiceUnavailable, "Airlock is stopping; try again once it has been started.")

// write runs do in a transaction and returns once it is durable. While it waits for its turn it heeds ctx; once it
// has begun it runs to its end, so that a caller always knows whether its write is in.
func (w *writer) write(ctx context.Context, do func(*tx) error) error {
	j := &job{do: do, tx: tx{view: w.on}, done: make(chan struct{})}
	select {
	case <-ctx.Done(): // even where the writer is free
		return ctx.Err()
	default:
	}
	select {
	case w.jobs <- j:
		<-j.done
		return j.err
	case <-ctx.Done():
		return ctx.Err()
	case <-w.stop:
		return errStopping
	}
}

// checkpoint runs between two groups.
func (w *writer) checkpoint() (done bool, err error) {
	answer := make(chan checkpointed, 1)
	select {
	case w.checkpoints <- answer:
		c := <-answer
		return c.done, c.err
	case <-w.stop:
		return false, errStopping
	}
}

func (w *writer) run() {
	for {
		select {
		case j := <-w.jobs:
			w.group(j)
		case answer := <-w.checkpoints:
			done, err := checkpoint(w.on)
			answer <- checkpointed{done, err}
		case <-w.stop:
			return
		}
	}
}

// group commits first and all that wait with it.
func (w *writer) group(first *job) {
	var jobs []*job
	_, lost := w.on.exec(beginWrite)
	for j := first; j != nil; j = w.next(len(jobs)) {
		jobs = append(jobs, j)
		if lost == nil {
			lost = w.savepoint(j)
		}
	}
	if lost == nil {
		_, lost = w.on.exec("COMMIT")
	}
	if lost != nil {
		_, _ = w.on.exec("ROLLBACK") // fails where SQLite has rolled back already
		for _, j := range jobs {
			j.err = lost
		}
	}
	w.committed(slices.DeleteFunc(slices.Clone(jobs), func(j *job) bool { return j.err != nil }))
	for _, j := range jobs {
		close(j.done)
	}
}

// next takes a write that waits already.
func (w *writer) next(have int) *job {
	if have < groupMost {
		select {
		case j := <-w.jobs:
			return j
		default:
		}
	}
	return nil
}

// savepoint runs one write. The error that it returns is one that ended the whole transaction.
func (w *writer) savepoint(j *job) error {
	if _, err := w.on.exec("SAVEPOINT one"); err != nil {
		return err
	}
	if j.err = j.do(&j.tx); j.err != nil {
		if _, err := w.on.exec("ROLLBACK TO one"); err != nil {
			return j.err // a full disk rolls back everything
		}
	}
	_, err := w.on.exec("RELEASE one")
	return err
}
