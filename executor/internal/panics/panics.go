// Package panics makes errors of panics, so that a mistake in Airlock ends the execution that met it, and not the
// server with all others. What the Go runtime itself gives up on, such as concurrent writes to a map, is beyond it.
package panics

import (
	"fmt"
	"runtime/debug"
)

// Catch runs f. A panic of f becomes an error, which has the stack and is not for users.
func Catch(f func() error) (err error) {
	defer To(func(panicked error) { err = panicked })
	return f()
}

// To reports a panic of the function that defers it, which then returns.
//
//	go func() {
//		defer panics.To(report)
//		…
//	}()
func To(report func(error)) {
	if v := recover(); v != nil {
		report(fmt.Errorf("panic: %v\n%s", v, debug.Stack()))
	}
}
