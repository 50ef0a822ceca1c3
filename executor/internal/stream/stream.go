// Package stream carries what a script writes to the store: in one sequence over the four streams, redacted, in
// batches. Whoever writes faster than the store takes is held back, so that memory stays bounded whatever the script
// does.
package stream

import (
	"context"
	"sync"
	"time"

	"github.com/airlock-run/airlock/executor/internal/pace"
	"github.com/airlock-run/airlock/executor/internal/panics"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/redact"
)

// A batch goes to the store when it has BatchRecords records or BatchBytes bytes, or when its first record is
// BatchAge old. A record that may begin a secret is held back for at most HoldAge.
const (
	BatchRecords = 256
	BatchBytes   = 256 << 10
	BatchAge     = 50 * time.Millisecond
	HoldAge      = time.Second
)

// RecordCost is what a record counts against the bound on output beside its text, so that empty lines have an end, too.
const RecordCost = 16

// Store is what the package needs of internal/store.
type Store interface {
	Append(ctx context.Context, id string, fence int64, recs []domain.Record) error
	Rewrite(ctx context.Context, id string, fence int64, rewrite func([]domain.Record) ([]domain.Record, bool)) error
}

// Config says whose output is written where.
type Config struct {
	Store     Store
	Execution string // id
	Fence     int64
	Secrets   *redact.Set // may grow while output is written
	MaxBytes  int64       // bound on the output, RecordCost a record included
	Now       func() time.Time
	Failed    func(error) // told once why no more output is taken: an errors.OutputTooLarge, or what the store said; must not wait
}

// Writer takes the output of one execution. Write is safe for concurrent use.
type Writer struct {
	cfg  Config
	ctx  context.Context
	pace *pace.Pace
	done chan struct{} // the writing goroutine has ended

	mu      sync.Mutex
	taken   *sync.Cond // the batch was taken
	batch   []redact.Record
	bytes   int // of the batch
	seq     int64
	total   int64
	closing bool
	err     error

	redactor *redact.Redactor // of the writing goroutine, then of Close
	lost     error            // of the store
}

// New returns a Writer that writes until Close, or until ctx ends.
func New(ctx context.Context, cfg Config) *Writer {
	w := &Writer{
		cfg: cfg, ctx: ctx, pace: pace.New(BatchAge), done: make(chan struct{}),
		redactor: cfg.Secrets.NewRedactor(),
	}
	w.taken = sync.NewCond(&w.mu)
	go w.run()
	return w
}

// Write takes what a script wrote as one record; what is longer than domain.MaxRecord goes on in the next, cut between
// two characters. It waits while the store is behind. What comes after the bound on output, or after the store has
// failed, is dropped.
func (w *Writer) Write(s domain.Stream, text []byte) {
	for {
		n := fit(text, w.cfg.Secrets)
		w.write(s, text[:n:n])
		if text = text[n:]; len(text) == 0 {
			return
		}
	}
}

func (w *Writer) write(s domain.Stream, text []byte) {
	text = append([]byte(nil), text...)
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.err == nil && (len(w.batch) >= BatchRecords || w.bytes >= BatchBytes) {
		w.taken.Wait()
	}
	if w.err != nil || w.closing {
		return
	}
	w.total += int64(len(text)) + RecordCost
	if w.total > w.cfg.MaxBytes {
		w.fail(errors.Newf(errors.OutputTooLarge, "The script wrote more than %d bytes of output, the bound for one execution; let it write less, or raise the bound in the server's configuration.", w.cfg.MaxBytes))
		return
	}
	w.seq++
	w.batch = append(w.batch, redact.Record{Seq: w.seq, Time: w.cfg.Now(), Stream: s, Text: text})
	w.bytes += len(text)
	if len(w.batch) >= BatchRecords || w.bytes >= BatchBytes {
		w.pace.Now()
	} else {
		w.pace.Some()
	}
}

// fail keeps the first error. The caller holds mu.
func (w *Writer) fail(err error) {
	if w.err == nil {
		w.err = err
		w.taken.Broadcast()
		w.cfg.Failed(err)
	}
}

// run writes batches until the Writer is closed.
func (w *Writer) run() {
	defer close(w.done)
	defer panics.To(w.lose)
	for {
		w.pace.Wait()
		if closing := w.flush(); closing {
			return
		}
		if _, held := w.redactor.Held(); held {
			w.pace.Again()
		}
	}
}

// flush takes the batch through redaction to the store, and says whether it was the last.
func (w *Writer) flush() (closing bool) {
	w.mu.Lock()
	batch := w.batch
	closing = w.closing
	w.batch, w.bytes = nil, 0
	w.taken.Broadcast()
	w.mu.Unlock()

	for _, r := range batch {
		w.redactor.Push(r)
	}
	mode := redact.Patient
	if since, held := w.redactor.Held(); held && w.cfg.Now().Sub(since) >= HoldAge {
		mode = redact.Release
	}
	if closing {
		mode = redact.End
	}
	recs := w.redactor.Flush(mode)
	if w.lost != nil {
		return closing
	}
	if err := inChunks(recs, w.append); err != nil {
		w.lose(err)
	}
	return closing
}

// lose gives up on the output: what comes after err would leave a gap.
func (w *Writer) lose(err error) {
	w.lost = err
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail(err)
}

// Close stores what is left. Nothing may be written any more. The error is one of the store.
func (w *Writer) Close() error {
	w.mu.Lock()
	w.closing = true
	w.mu.Unlock()
	w.pace.Now()
	<-w.done
	return w.lost
}

func (w *Writer) append(recs []domain.Record) error {
	return w.cfg.Store.Append(w.ctx, w.cfg.Execution, w.cfg.Fence, recs)
}

// inChunks gives records to the store in chunks of the size of a batch.
func inChunks(recs []redact.Record, put func([]domain.Record) error) error {
	var chunk []domain.Record
	bytes := 0
	for i, r := range recs {
		chunk, bytes = append(chunk, stored(r)), bytes+len(r.Text)
		if len(chunk) == BatchRecords || bytes >= BatchBytes || i == len(recs)-1 {
			if err := put(chunk); err != nil {
				return err
			}
			chunk, bytes = nil, 0
		}
	}
	return nil
}

// stored is a record as it is stored.
func stored(r redact.Record) domain.Record {
	return domain.Record{Seq: r.Seq, Time: r.Time, Stream: r.Stream, Text: bounded(redact.Visible(r.Text))}
}
