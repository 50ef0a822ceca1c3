// Package pace says when a goroutine that writes batches has to write one: some time after there is something, or at
// once.
package pace

import "time"

// Pace is between those who gather a batch, in any number of goroutines, and the one that writes it.
type Pace struct {
	age       time.Duration
	some, now chan struct{}
	due       <-chan time.Time // of the writing goroutine; nil while nothing is due
}

// New returns a Pace at which a batch is written when the first of it is of the age.
func New(age time.Duration) *Pace {
	return &Pace{age: age, some: make(chan struct{}, 1), now: make(chan struct{}, 1)}
}

// Some says that there is something to write.
func (p *Pace) Some() { wake(p.some) }

// Now says that there is something to write at once.
func (p *Pace) Now() { wake(p.now) }

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Wait returns when a batch is to be written. It is for the writing goroutine alone, as Again is.
func (p *Pace) Wait() {
	for {
		select {
		case <-p.some:
			if p.due == nil {
				p.Again()
			}
			continue
		case <-p.now:
		case <-p.due:
		}
		p.due = nil
		return
	}
}

// Again has the next batch written after the age, also where nobody says that there is something.
func (p *Pace) Again() { p.due = time.After(p.age) }
