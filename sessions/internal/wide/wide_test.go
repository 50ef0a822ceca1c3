package wide_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/airlock-run/airlock/sessions/internal/wide"
)

// What is written in pieces of any size arrives in order and whole, also what waits when the connection is closed.
func TestArrives(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	w := wide.Conn(near)
	want := make([]byte, 2<<20)
	for i := range want {
		want[i] = byte(rand.N(256))
	}
	got := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(wide.Conn(far))
		got <- all
	}()
	for rest := want; len(rest) > 0; {
		n := min(1+rand.N(100_000), len(rest))
		if _, err := w.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if all := <-got; !bytes.Equal(all, want) {
		t.Errorf("%d bytes arrive that are other than the %d that were written", len(all), len(want))
	}
	_ = far.Close()
}

// Nobody reads: writes wait, and a close soon ends them and itself.
func TestNobodyReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		w := wide.Conn(near)
		failed := make(chan error)
		go func() {
			for {
				if _, err := w.Write(make([]byte, 10_000)); err != nil {
					failed <- err
					return
				}
			}
		}()
		synctest.Wait()
		begin := time.Now()
		_ = w.Close()
		<-failed
		if took := time.Since(begin); took > time.Second {
			t.Errorf("the end took %s", took)
		}
		_ = far.Close()
	})
}

// A write that fails is the error of the writes after it.
func TestTheOtherEndIsGone(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	w := wide.Conn(near)
	_ = far.Close()
	for {
		if _, err := w.Write([]byte(".")); err != nil {
			break
		}
	}
	_ = w.Close()
}
