package sandbox

import "context"

// Feature is something of the kernel that the isolating sandbox uses.
type Feature struct {
	Name   string
	Found  bool
	Needed bool   // without it there is no isolation
	Lost   string // what is lost without it
	Fix    string // how to get it
}

// Probe tries each feature out, as the user that it runs as.
func Probe(context.Context) []Feature { return nil }
