package store

import (
	"context"
	"fmt"

	"github.com/airlock-run/airlock/internal/domain"
)

// Rewrite goes over all stored output, to take out a secret that became known late. rewrite gets each record once, in
// order of seq, a chunk at a time, and last a call without records. It returns records with a new text, and whether
// there are any: of those that it was just given, or of earlier ones where it first had to see what follows. Seq and
// stream of a record stay. What Append stores meanwhile may or may not be gone over.
func (s *Store) Rewrite(ctx context.Context, id string, fence int64, rewrite func([]domain.Record) ([]domain.Record, bool)) error {
	if _, err := read(ctx, s, func(v view) (holding, error) { return held(v, id, fence) }); err != nil {
		return err
	}
	for after, end := int64(0), false; !end; {
		chunks, err := read(ctx, s, func(v view) ([]chunk, error) {
			return list(v, s.scanChunk, `SELECT `+chunkColumns+` FROM chunks WHERE execution = $1 AND first_seq > $2 ORDER BY first_seq LIMIT 1`, id, after)
		})
		if err != nil {
			return err
		}
		var recs []domain.Record
		if end = len(chunks) == 0; !end {
			if recs, err = chunks[0].records(); err != nil {
				return err
			}
			after = chunks[0].last
		}
		if changed, any := rewrite(recs); any {
			if err := s.replace(ctx, id, fence, changed); err != nil {
				return err
			}
		}
	}
	return nil
}

// replace puts records in the place of those with the same seq.
func (s *Store) replace(ctx context.Context, id string, fence int64, recs []domain.Record) error {
	return s.write(ctx, func(t *tx) error {
		if _, err := held(t.view, id, fence); err != nil {
			return err
		}
		for rest := recs; len(rest) > 0; {
			n, err := s.replaceInChunk(t, id, rest)
			if err != nil {
				return err
			}
			rest = rest[n:]
		}
		t.changed, t.tidy = append(t.changed, id), true
		return nil
	})
}

// replaceInChunk replaces the first of the records, and those after it that lie in the same chunk.
func (s *Store) replaceInChunk(t *tx, id string, recs []domain.Record) (n int, err error) {
	c, err := s.scanChunk(t.row(`SELECT `+chunkColumns+` FROM chunks WHERE execution = $1 AND first_seq <= $2 AND last_seq >= $2
		ORDER BY first_seq DESC LIMIT 1`, id, recs[0].Seq))
	if err != nil {
		return 0, fmt.Errorf("store: record %d: %w", recs[0].Seq, err)
	}
	have, err := c.records()
	if err != nil {
		return 0, err
	}
	for ; n < len(recs) && recs[n].Seq >= c.first && recs[n].Seq <= c.last; n++ {
		old := &have[recs[n].Seq-c.first]
		if old.Stream != recs[n].Stream {
			return 0, fmt.Errorf("store: record %d is of the stream %s, not %s", old.Seq, old.Stream, recs[n].Stream)
		}
		old.Text = recs[n].Text
	}
	anew := chunk{first: c.first}
	for _, r := range have {
		anew.add(r)
	}
	if err := s.seal(id, &anew); err != nil {
		return 0, err
	}
	_, err = t.exec(`UPDATE chunks SET data = $3 WHERE execution = $1 AND first_seq = $2`, id, c.first, anew.data)
	return n, err
}
