package simcloud

import (
	"context"
	"sync"
)

// Open counts what clients hold open at a private cloud.
type Open struct {
	Sessions       int // of vCenter: SOAP, REST, and its authorization service
	SSHConnections int // logged in, on all hosts and the vCenter
}

// census counts, and wakes who waits for a change.
type census struct {
	mu      sync.Mutex
	open    Open
	changed chan struct{} // closed and replaced at each change
}

func newCensus() *census { return &census{changed: make(chan struct{})} }

func (c *census) add(sessions, connections int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open.Sessions += sessions
	c.open.SSHConnections += connections
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *census) look() (Open, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open, c.changed
}

// wait returns when there is nothing open.
func (c *census) wait(ctx context.Context) error {
	for {
		open, changed := c.look()
		if open == (Open{}) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
