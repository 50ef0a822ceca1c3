package vcproxy

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"golang.org/x/sync/semaphore"
)

// slowBody is a SOAP call that says how many are being read, and goes on when it is let.
type slowBody struct {
	*strings.Reader
	reading *atomic.Int32
	on      <-chan struct{}
	begun   sync.Once
}

func (b *slowBody) Read(p []byte) (int, error) {
	b.begun.Do(func() { b.reading.Add(1); <-b.on })
	return b.Reader.Read(p)
}

// However many calls a script makes at once, the bodies in memory are bounded; those beyond the bound wait their turn.
func TestBodiesInMemoryAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &proxy{bodies: semaphore.NewWeighted(maxBodies)}
		var reading, read atomic.Int32
		on := make(chan struct{})
		const call = `<Envelope><Body><CurrentTime/></Body></Envelope>`
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				r := httptest.NewRequest(http.MethodPost, "/sdk", &slowBody{Reader: strings.NewReader(call), reading: &reading, on: on})
				r.Header.Set("Content-Type", "text/xml")
				var j judged
				if no := p.readCall(httptest.NewRecorder(), r, &j); no != nil {
					t.Error(no.message)
				}
				if j.held != int64(len(call)) {
					t.Errorf("%d bytes are held for a call of %d", j.held, len(call))
				}
				p.bodies.Release(j.held)
				read.Add(1)
			})
		}
		synctest.Wait()
		if n := reading.Load(); n != maxBodies/maxSOAP {
			t.Errorf("%d calls of unknown length are read at once; want %d", n, maxBodies/maxSOAP)
		}
		close(on)
		all.Wait()
		if n := read.Load(); n != 20 {
			t.Errorf("%d calls were read; want 20", n)
		}
	})
}
