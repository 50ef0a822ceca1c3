package stream

import (
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/redact"
)

// rewrite takes out of what is stored the secrets that became known late. One pass is enough unless a secret
// straddles more than a Redactor holds.
func (w *Writer) rewrite() error {
	for w.redactor.Late() {
		w.redactor = w.redactor.Again()
		if err := w.cfg.Store.Rewrite(w.ctx, w.cfg.Execution, w.cfg.Fence, w.again); err != nil {
			return err
		}
	}
	return nil
}

// again redacts a piece of what is stored; none is left when recs is empty.
func (w *Writer) again(recs []domain.Record) (changed []domain.Record, any bool) {
	mode := redact.Patient
	if len(recs) == 0 {
		mode = redact.End
	}
	for _, r := range recs {
		w.redactor.Push(redact.Record{Seq: r.Seq, Time: r.Time, Stream: r.Stream, Text: []byte(r.Text)})
	}
	for _, r := range w.redactor.Flush(mode) {
		if r.Changed {
			changed = append(changed, stored(r))
		}
	}
	return changed, len(changed) > 0
}
