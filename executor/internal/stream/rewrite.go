package stream

import (
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/redact"
)

// Rewrite takes out of what is stored the secrets that became known after a part of them was stored. It comes after
// Close, and again after an error. One pass is enough unless a secret straddles more than a Redactor holds.
func (w *Writer) Rewrite() error {
	for w.redactor.Late() {
		next := w.redactor.Again()
		again := func(recs []domain.Record) ([]domain.Record, bool) { return again(next, recs) }
		if err := w.cfg.Store.Rewrite(w.ctx, w.cfg.Execution, w.cfg.Fence, again); err != nil {
			return err
		}
		w.redactor = next
	}
	return nil
}

// again redacts a piece of what is stored; none is left when recs is empty.
func again(r *redact.Redactor, recs []domain.Record) (changed []domain.Record, any bool) {
	mode := redact.Patient
	if len(recs) == 0 {
		mode = redact.End
	}
	for _, rec := range recs {
		r.Push(redact.Record{Seq: rec.Seq, Time: rec.Time, Stream: rec.Stream, Text: []byte(rec.Text)})
	}
	for _, rec := range r.Flush(mode) {
		if rec.Changed {
			changed = append(changed, stored(rec))
		}
	}
	return changed, len(changed) > 0
}
