package stream_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/airlock-run/airlock/executor/internal/stream"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/redact"
	"github.com/airlock-run/airlock/sdk/secret"
)

// memory is a store in memory, which says when it was written to and can be held up.
type memory struct {
	mu      sync.Mutex
	chunks  [][]domain.Record
	at      []time.Time
	err     error
	blocked chan struct{} // nil: not
}

func (m *memory) Append(_ context.Context, id string, fence int64, recs []domain.Record) error {
	if m.blocked != nil {
		<-m.blocked
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	for _, r := range recs {
		if len(r.Text) > domain.MaxRecord {
			return fmt.Errorf("record %d has %d bytes", r.Seq, len(r.Text))
		}
	}
	if id != "x" || fence != 7 {
		return fmt.Errorf("%s under %d", id, fence)
	}
	m.chunks, m.at = append(m.chunks, slices.Clone(recs)), append(m.at, time.Now())
	return nil
}

func (m *memory) Rewrite(_ context.Context, _ string, _ int64, rewrite func([]domain.Record) ([]domain.Record, bool)) error {
	for i := 0; i <= len(m.chunks); i++ {
		var chunk []domain.Record
		if i < len(m.chunks) {
			chunk = m.chunks[i]
		}
		changed, _ := rewrite(chunk)
		for _, c := range changed {
			for _, old := range m.chunks {
				if n := c.Seq - old[0].Seq; n >= 0 && int(n) < len(old) {
					old[n] = c
				}
			}
		}
	}
	return nil
}

func (m *memory) texts() (texts []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, chunk := range m.chunks {
		for _, r := range chunk {
			texts = append(texts, r.Text)
		}
	}
	return texts
}

type fixture struct {
	*stream.Writer
	store   *memory
	secrets *redact.Set
	failed  atomic.Pointer[error]
}

func newFixture(maxBytes int64) *fixture {
	f := &fixture{store: &memory{}, secrets: redact.NewSet()}
	f.open(maxBytes)
	return f
}

func (f *fixture) open(maxBytes int64) {
	f.Writer = stream.New(context.Background(), stream.Config{Store: f.store, Execution: "x", Fence: 7, Secrets: f.secrets,
		MaxBytes: maxBytes, Now: time.Now, Failed: func(err error) { f.failed.Store(&err) }})
}

func (f *fixture) close(t *testing.T) {
	t.Helper()
	if err := cmp.Or(f.Close(), f.Rewrite()); err != nil {
		t.Error("close:", err)
	}
}

func TestBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(1 << 30)
		begin := time.Now()
		f.Write(domain.Output, []byte("alone"))
		time.Sleep(stream.BatchAge)
		synctest.Wait()
		if len(f.store.at) != 1 || f.store.at[0].Sub(begin) != stream.BatchAge {
			t.Fatalf("a record alone was stored at %v", f.store.at)
		}
		begin = time.Now()
		for i := range stream.BatchRecords {
			f.Write(domain.Warning, fmt.Append(nil, i))
		}
		synctest.Wait()
		if len(f.store.at) != 2 || f.store.at[1] != begin {
			t.Fatalf("a full batch was not stored at once: %v", f.store.at)
		}
		f.Write(domain.Error, []byte("last"))
		f.close(t)
		if len(f.store.at) != 3 || f.store.at[2] != begin {
			t.Fatalf("the end was not stored at once: %v", f.store.at)
		}
		texts := f.store.texts()
		if len(texts) != stream.BatchRecords+2 || texts[0] != "alone" || texts[1] != "0" || texts[len(texts)-1] != "last" {
			t.Errorf("%d records: %q", len(texts), texts)
		}
	})
}

// Whoever writes faster than the store takes is held back.
func TestBackpressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(1 << 30)
		f.store.blocked = make(chan struct{})
		var written atomic.Int64
		const count = 10_000
		var writer sync.WaitGroup
		writer.Go(func() {
			for i := range count {
				f.Write(domain.Output, fmt.Append(nil, i))
				written.Add(1)
			}
		})
		synctest.Wait()
		if n := written.Load(); n > 2*stream.BatchRecords {
			t.Errorf("%d records were taken while the store took none", n)
		}
		close(f.store.blocked)
		writer.Wait()
		f.close(t)
		texts := f.store.texts()
		for i, text := range texts {
			if text != fmt.Sprint(i) {
				t.Fatalf("record %d reads %q", i, text)
			}
		}
		if len(texts) != count {
			t.Errorf("%d of %d records", len(texts), count)
		}
		for _, c := range f.store.chunks {
			if len(c) > stream.BatchRecords {
				t.Errorf("a chunk has %d records", len(c))
			}
		}
	})
}

func TestSequenceOverStreams(t *testing.T) {
	f := newFixture(1 << 30)
	const each = 5_000
	var all sync.WaitGroup
	for _, s := range domain.Streams {
		all.Go(func() {
			for i := range each {
				f.Write(s, fmt.Append(nil, i))
			}
		})
	}
	all.Wait()
	f.close(t)
	seq, next := int64(0), map[domain.Stream]int{}
	for _, chunk := range f.store.chunks {
		for _, r := range chunk {
			if seq++; r.Seq != seq || r.Text != fmt.Sprint(next[r.Stream]) {
				t.Fatalf("record %d of %s: %+v", next[r.Stream], r.Stream, r)
			}
			next[r.Stream]++
		}
	}
	if seq != 4*each {
		t.Errorf("%d records", seq)
	}
}

func TestLongRecords(t *testing.T) {
	for name, text := range map[string]string{
		"ascii":    strings.Repeat("x", 3<<20),
		"runes":    strings.Repeat("ä€", 1<<20),
		"just one": strings.Repeat("x", domain.MaxRecord),
		"invalid":  strings.Repeat("a\xff", 1<<20),
		"empty":    "",
	} {
		f := newFixture(1 << 30)
		f.Write(domain.Output, []byte(text))
		f.close(t)
		texts := f.store.texts()
		if got := strings.Join(texts, ""); got != redact.Visible([]byte(text)) {
			t.Errorf("%s: %d bytes came back as %d", name, len(text), len(got))
		}
		for _, part := range texts {
			if len(part) > domain.MaxRecord {
				t.Errorf("%s: a record has %d bytes", name, len(part))
			}
		}
		if name == "just one" && len(texts) != 1 || len(texts) == 0 {
			t.Errorf("%s: %d records", name, len(texts))
		}
	}
}

// A secret can be shorter than what stands in its place.
func TestRedactedRecordsAreNotTooLong(t *testing.T) {
	const before, after = 1000, 10
	for name, text := range map[string]string{
		"some": strings.Repeat("x", before) + "pw12" + strings.Repeat("ä", (domain.MaxRecord-before-4-after)/2) + strings.Repeat("x", after),
		"only": strings.Repeat("pw12\xff", domain.MaxRecord/5) + "ä",
	} {
		f := newFixture(1 << 30)
		if err := f.secrets.Add(secret.New("pw12")); err != nil {
			t.Fatal(err)
		}
		f.Write(domain.Output, []byte(text))
		f.close(t)
		texts := f.store.texts()
		want := redact.Visible([]byte(strings.ReplaceAll(text, "pw12", secret.Redacted)))
		twice := strings.Repeat(secret.Redacted, 2) // where a secret was cut in two
		if got := strings.ReplaceAll(strings.Join(texts, ""), twice, secret.Redacted); got != want {
			t.Errorf("%s: %d bytes came back as %d in place of %d", name, len(text), len(got), len(want))
		}
		for _, part := range texts {
			if len(part) > domain.MaxRecord {
				t.Errorf("%s: a record has %d bytes", name, len(part))
			}
		}
	}
}

// What becomes secret only when it is written cannot go on in another record any more.
func TestLateSecretInALongRecord(t *testing.T) {
	f := newFixture(1 << 30)
	f.Write(domain.Output, []byte("before"))
	f.Write(domain.Output, []byte(strings.Repeat("pw12ä", domain.MaxRecord/6)))
	f.Write(domain.Output, []byte("after"))
	if err := f.secrets.Add(secret.New("pw12")); err != nil {
		t.Fatal(err)
	}
	f.close(t)
	texts := f.store.texts()
	if len(texts) != 3 || len(texts[1]) > domain.MaxRecord || !strings.HasSuffix(texts[1], "longer than 1 MiB)") || !utf8.ValidString(texts[1]) {
		t.Errorf("%d records, the second has %d bytes and ends in %q", len(texts), len(texts[1]), texts[1][max(0, len(texts[1])-200):])
	}
}

func TestTooMuch(t *testing.T) {
	f := newFixture(10 * (100 + stream.RecordCost))
	for range 20 {
		f.Write(domain.Output, make([]byte, 100))
	}
	f.close(t)
	if n := len(f.store.texts()); n != 10 {
		t.Errorf("%d records were stored", n)
	}
	if err := f.failed.Load(); err == nil || !errors.Has(*err, errors.OutputTooLarge) || !strings.Contains((*err).Error(), "1160 bytes") {
		t.Errorf("the failure: %v", err)
	}

	f = newFixture(10 * stream.RecordCost)
	for range 20 {
		f.Write(domain.Output, nil)
	}
	f.close(t)
	if f.failed.Load() == nil {
		t.Error("empty lines have no end")
	}
}

func TestStoreFails(t *testing.T) {
	f := newFixture(1 << 30)
	f.store.err = errors.Newf(errors.ServiceUnavailable, "The disk is full.")
	for range 10 * stream.BatchRecords { // comes to an end: nothing waits for a store that has failed
		f.Write(domain.Output, []byte("line"))
	}
	if err := f.Close(); !errors.Has(err, errors.ServiceUnavailable) {
		t.Error("close:", err)
	}
	if err := f.failed.Load(); err == nil || !errors.Has(*err, errors.ServiceUnavailable) {
		t.Errorf("the failure: %v", err)
	}
}

// What may begin a secret waits for what follows, but not for ever.
func TestHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(1 << 30)
		if err := f.secrets.Add(secret.New("the-canary-value")); err != nil {
			t.Fatal(err)
		}
		f.close(t)
		f.open(1 << 30) // that knows the secret from its begin
		f.Write(domain.Output, []byte("it is the-canary"))
		time.Sleep(stream.HoldAge - 2*stream.BatchAge)
		synctest.Wait()
		if texts := f.store.texts(); len(texts) != 0 {
			t.Fatalf("stored: %q", texts)
		}
		f.Write(domain.Output, []byte("-value!"))
		time.Sleep(stream.BatchAge)
		synctest.Wait()
		if texts := f.store.texts(); strings.Join(texts, "|") != "it is [redacted]|[redacted]!" {
			t.Fatalf("stored: %q", texts)
		}
		f.Write(domain.Output, []byte("and again the-canary"))
		begin := time.Now()
		time.Sleep(2 * stream.HoldAge)
		synctest.Wait()
		if n := len(f.store.at); len(f.store.texts()) != 3 || f.store.at[n-1].Sub(begin) > stream.HoldAge+stream.BatchAge {
			t.Errorf("a record was held for %v: %q", f.store.at[n-1].Sub(begin), f.store.texts())
		}
		f.close(t)
	})
}

// A secret that becomes known late is taken out of what is stored, also where it straddles chunks.
func TestLateSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(1 << 30)
		f.Write(domain.Output, []byte("a whole canary-of-the-script here"))
		f.Write(domain.Output, []byte("canary-of"))
		time.Sleep(stream.BatchAge)
		synctest.Wait()
		f.Write(domain.Warning, []byte("between"))
		f.Write(domain.Output, []byte("-the-script"))
		time.Sleep(stream.BatchAge)
		synctest.Wait()
		if err := f.secrets.Add(secret.New("canary-of-the-script")); err != nil {
			t.Fatal(err)
		}
		f.Write(domain.Output, []byte("and canary-of-the-script."))
		f.close(t)
		want := "a whole [redacted] here|[redacted]|between|[redacted]|and [redacted]."
		if got := strings.Join(f.store.texts(), "|"); got != want {
			t.Errorf("stored: %q", got)
		}
		if len(f.store.chunks) != 3 {
			t.Errorf("%d chunks", len(f.store.chunks))
		}
	})
}
