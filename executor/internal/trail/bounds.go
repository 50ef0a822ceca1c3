package trail

import (
	"fmt"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/audit"
)

// Bounds on the events of one execution that are kept one by one. What Airlock refused has a place of its own, and so has
// what failed: a flood of one kind pushes out none of another.
const (
	MaxCalls   = 10_000 // that went well
	MaxFailed  = 2_000
	MaxRefused = 2_000
	maxBytes   = 1 << 10 // of text, for each of so many on average

	// MaxQueued is how many events, and queuedBytes how much of their text, wait for the store.
	MaxQueued   = 4096
	queuedBytes = 4 << 20

	// MaxKinds is how many kinds of events are counted apart; the rest is counted by action.
	MaxKinds = 500
)

// class is what an event is bounded with.
type class int

const (
	calls class = iota
	failures
	refusals
	classes
)

func classOf(e audit.Event) class {
	switch {
	case strings.HasSuffix(e.Action, "/refused"):
		return refusals
	case e.Result == "ok" || len(e.Result) == 3 && "100" <= e.Result && e.Result < "400": // a status of HTTP
		return calls
	}
	return failures
}

// queue is what waits for the store.
type queue struct {
	events []audit.Event
	bytes  int
}

func (q *queue) add(e audit.Event, size int) {
	q.events = append(q.events, e)
	q.bytes += size
}

func (q *queue) take() []audit.Event {
	events := q.events
	*q = queue{}
	return events
}

func (q *queue) full(size int) bool {
	return len(q.events) >= MaxQueued || q.bytes+size > queuedBytes
}

// kind is what events have in common that are counted together.
type kind struct{ action, method, host, result string }

// bounds decides which events are kept one by one, and counts the others.
type bounds struct {
	events, bytes [classes]int // that may still be kept
	remarked      [classes + 1]bool
	counts        map[kind]*count
	kinds         []kind // in the order in which they came
}

type count struct {
	audit.Event // the last one, with the sums
	since       time.Time
}

func newBounds() bounds {
	b := bounds{events: [classes]int{MaxCalls, MaxFailed, MaxRefused}, counts: map[kind]*count{}}
	for c, n := range b.events {
		b.bytes[c] = n * maxBytes
	}
	return b
}

// take says whether an event with so much text is kept, and counts it where it is not. The first time it is not, there is
// a remark to be kept in its place.
func (b *bounds) take(e audit.Event, size int, q *queue) (kept bool, remark *audit.Event) {
	c := classOf(e)
	reason, why := c, "of the %s of this execution as many are listed as can be"
	switch {
	case q.full(size):
		reason, why = classes, "%s came faster than they could be stored"
	case b.events[c] > 0 && b.bytes[c] >= size:
		b.events[c]--
		b.bytes[c] -= size
		return true, nil
	}
	b.count(e)
	if b.remarked[reason] {
		return false, nil
	}
	b.remarked[reason] = true
	name := [...]string{"calls", "failed calls", "refused calls"}[c]
	return false, &audit.Event{
		Time: e.Time, Execution: e.Execution, Cloud: e.Cloud, Actor: e.Actor, Action: "audit/bounded", Result: "ok",
		Detail: fmt.Sprintf(why+"; others are counted, and the counts are listed when it ends", name),
	}
}

// count counts an event with those of its kind.
func (b *bounds) count(e audit.Event) {
	k := kind{e.Action, e.Method, e.Host, e.Result}
	if b.counts[k] == nil && len(b.counts) >= MaxKinds {
		k = kind{action: e.Action, result: "various"}
	}
	n := b.counts[k]
	if n == nil {
		n = &count{since: e.Time}
		b.counts[k], b.kinds = n, append(b.kinds, k)
	}
	e.Sent, e.Received, e.Duration, e.Count = e.Sent+n.Sent, e.Received+n.Received, e.Duration+n.Duration, n.Count+1
	e.Method, e.Host, e.Result, e.Target, e.Detail = k.method, k.host, k.result, "", ""
	n.Event = e
}

// summaries are the counts as events.
func (b *bounds) summaries() []audit.Event {
	events := make([]audit.Event, len(b.kinds))
	for i, k := range b.kinds {
		n := b.counts[k]
		n.Detail = fmt.Sprintf("%d of them since %s, not listed one by one", n.Count, n.since.UTC().Format(time.RFC3339))
		events[i] = n.Event
	}
	return events
}
