package process

import (
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/airlock-run/airlock/executor/internal/runtime"
	"github.com/airlock-run/airlock/internal/domain"
)

func TestWholeRunes(t *testing.T) {
	for text, want := range map[string]int{"": 0, "abc": 3, "aä": 3, "a\xc3": 1, "a\xe2\x82": 1, "a\xf0\x9f\x92": 1, "a\xff": 2, "a\x82\x82\x82\x82": 5} {
		if got := wholeRunes([]byte(text)); got != want {
			t.Errorf("%q: %d, not %d", text, got, want)
		}
	}
}

func TestLinesOfTheLongestRecord(t *testing.T) {
	long := strings.Repeat("x", domain.MaxRecord)
	for text, want := range map[string][]int{
		long + "\n":            {domain.MaxRecord},
		long + "\r\nb":         {domain.MaxRecord, 1},
		long + "yzz\n":         {domain.MaxRecord, 3},
		long + long + "\n\n":   {domain.MaxRecord, domain.MaxRecord, 0},
		"a\n" + long[1:] + "é": {1, domain.MaxRecord + 1}, // the host splits it
	} {
		host := &lengths{}
		lines(strings.NewReader(text), domain.Output, host, new(sync.Mutex))
		if !slices.Equal(host.all, want) {
			t.Errorf("%d bytes became lines of %v, not %v", len(text), host.all, want)
		}
	}
}

// lengths is a host that keeps how long each record is.
type lengths struct {
	runtime.Host
	all []int
}

func (h *lengths) Write(_ domain.Stream, text []byte) { h.all = append(h.all, len(text)) }

// A reader that is cut gives what has been written, and does not wait for somebody who holds the other end.
func TestCut(t *testing.T) {
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	r := newReader(out)
	defer r.Close()
	if _, err := io.WriteString(in, "one\ntwo\nthr"); err != nil {
		t.Fatal(err)
	}
	host := &lengths{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		lines(r, domain.Output, host, new(sync.Mutex))
	}()
	r.Cut()
	<-done
	if !slices.Equal(host.all, []int{3, 3, 3}) {
		t.Errorf("lines of %v", host.all)
	}
}
