// Package lazy makes a value at its first use, once, for all who ask for it at the same time. The broker's upstream
// logins are such values.
package lazy

import (
	"context"
	"errors"
	"time"
)

// Value is made by its first user. Use New.
type Value[T any] struct {
	make func(context.Context) (T, error)
	ctx  context.Context // of the maker, ended some time after the owner's
	turn chan struct{}   // holds one element; who has it may touch the fields below
	v    T
	made bool
	err  error // a failure that would come again
}

// New returns a value that make will make. Its context is not that of the user who happens to be first, for others
// wait for the same value: it ends grace after ctx has ended, so that a login under way can come to its end and be
// logged out.
func New[T any](ctx context.Context, grace time.Duration, make func(context.Context) (T, error)) *Value[T] {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	v := &Value[T]{make: make, ctx: own, turn: newTurn()}
	return v
}

func newTurn() chan struct{} {
	turn := make(chan struct{}, 1)
	turn <- struct{}{}
	return turn
}

// Get returns the value, making it if nobody has. A failure is returned to whoever waits and tried again by the next
// one, unless it is Final.
func (l *Value[T]) Get(ctx context.Context) (T, error) {
	var none T
	select {
	case <-l.turn:
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
	defer func() { l.turn <- struct{}{} }()
	if l.made || l.err != nil {
		return l.v, l.err
	}
	if err := ctx.Err(); err != nil {
		return none, err
	}
	v, err := l.make(l.ctx)
	if err != nil {
		if IsFinal(err) {
			l.err = err
		}
		return none, err
	}
	l.v, l.made = v, true
	return v, nil
}

// Made returns the value if it has been made. It waits for a maker at work.
func (l *Value[T]) Made() (T, bool) {
	<-l.turn
	defer func() { l.turn <- struct{}{} }()
	return l.v, l.made
}

// Forget drops the value if it is still the one that same accepts: the next Get makes another.
func (l *Value[T]) Forget(same func(T) bool) {
	<-l.turn
	defer func() { l.turn <- struct{}{} }()
	if l.made && same(l.v) {
		var none T
		l.v, l.made = none, false
	}
}

type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// Final marks a failure that would come again however often one tried, such as a refused password: trying it again
// and again would lock the account.
func Final(err error) error { return finalError{err} }

// IsFinal says whether a failure is marked so.
func IsFinal(err error) bool {
	_, final := errors.AsType[finalError](err)
	return final
}
