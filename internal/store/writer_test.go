package store

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/airlock-run/airlock/internal/errors"
)

// hold keeps the writer busy inside a group until release is called.
func (f *fixture) hold() (release func()) {
	f.t.Helper()
	begun, let, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- f.write(context.Background(), func(*tx) error { close(begun); <-let; return nil })
	}()
	<-begun
	return func() { close(let); ok(f.t, <-done) }
}

// put writes a row that nothing in the background touches.
func put(name string) func(*tx) error {
	return func(t *tx) error {
		_, err := t.exec(`INSERT INTO packages (name_key, version_key, name, version, digest, pushed, manifest)
			VALUES ($1, '1.0.0', $1, '1.0.0', '', 0, '{}')`, name)
		return err
	}
}

func (f *fixture) has(name string) bool {
	n, err := list(view{f.t.Context(), f.reader}, scanText, `SELECT name FROM packages WHERE name_key = $1`, name)
	ok(f.t, err)
	return len(n) == 1
}

// group commits the writes together, on a connection of its own, and returns what each was answered.
func (f *fixture) group(do ...func(*tx) error) (answers []error, committed int) {
	f.t.Helper()
	f.writerDB.SetMaxOpenConns(2)
	conn, err := f.writerDB.Conn(f.t.Context())
	ok(f.t, err)
	defer conn.Close()
	on := view{context.Background(), &statements{db: conn}}
	defer on.close()
	w := &writer{on: on, jobs: make(chan *job, len(do)), committed: func(jobs []*job) { committed += len(jobs) }}
	var jobs []*job
	for _, do := range do {
		jobs = append(jobs, &job{do: do, tx: tx{view: on}, done: make(chan struct{})})
	}
	for _, j := range jobs[1:] {
		w.jobs <- j
	}
	w.group(jobs[0])
	for _, j := range jobs {
		<-j.done
		answers = append(answers, j.err)
	}
	return answers, committed
}

func TestOneFailureLeavesTheGroupAlone(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		no := errors.New("no")
		answers, committed := f.group(put("first"),
			func(t *tx) error { return errors.Join(put("refused")(t), no) },
			func(t *tx) error { return errors.Join(put("twice")(t), put("twice")(t)) }, // violates the key
			func(t *tx) error { return errors.Join(put("third")(t), put("fourth")(t)) })
		for i, fails := range []bool{false, true, true, false} {
			same(t, fmt.Sprint("answer ", i), answers[i] != nil, fails)
		}
		same(t, "who is woken", committed, 2)
		for name, there := range map[string]bool{"first": true, "refused": false, "twice": false, "third": true, "fourth": true} {
			same(t, name, f.has(name), there)
		}
	})
}

func TestFailedCommitFailsAll(t *testing.T) {
	t.Parallel()
	f, _ := onFile(t)
	answers, committed := f.group(put("first"), func(t *tx) error { // found only when the transaction ends
		if _, err := t.exec(`PRAGMA defer_foreign_keys = ON`); err != nil {
			return err
		}
		_, err := t.exec(`INSERT INTO lanes (cloud) VALUES ('none')`)
		return err
	}, put("last"))
	for i, err := range answers {
		if err == nil {
			t.Errorf("write %d was answered as if it were stored", i)
		}
	}
	same(t, "who is woken", committed, 0)
	same(t, "stored", f.has("first") || f.has("last"), false)
	ok(t, f.write(t.Context(), put("afterwards")))
	same(t, "afterwards", f.has("afterwards"), true)
}

// asked is a context that tells when it is waited for: Done is called once before, and then in the select.
type asked struct {
	context.Context
	calls   atomic.Int32
	waiting chan struct{}
}

func (a *asked) Done() <-chan struct{} {
	if a.calls.Add(1) == 2 {
		close(a.waiting)
	}
	return a.Context.Done()
}

func TestWriteHeedsItsContextWhileItWaits(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		release := f.hold()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		waits := &asked{Context: ctx, waiting: make(chan struct{})}
		go func() { done <- f.write(waits, put("late")) }()
		<-waits.waiting
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Fatalf("answered %v", err)
		}
		release()
		if err := f.write(ctx, put("late")); !errors.Is(err, context.Canceled) {
			t.Fatalf("answered %v", err)
		}
		ok(t, f.write(t.Context(), put("next")))
		same(t, "written all the same", f.has("late"), false)
	})
}
