package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/seal"
)

// Append stores the next records of an execution's output. Their seqs go on from the last stored one without a gap,
// else it is a Conflict.
func (s *Store) Append(ctx context.Context, id string, fence int64, recs []domain.Record) error {
	chunks, err := pack(recs)
	if err != nil || len(chunks) == 0 {
		return err
	}
	for i := range chunks {
		if err := s.seal(id, &chunks[i]); err != nil {
			return err
		}
	}
	return s.write(ctx, func(t *tx) error {
		for _, c := range chunks {
			if err := addChunk(t, id, fence, c); err != nil {
				return err
			}
		}
		t.changed = append(t.changed, id)
		return nil
	})
}

func addChunk(t *tx, id string, fence int64, c chunk) error {
	n, err := t.exec(`UPDATE executions SET records = $3, output = output + $4, information = information + $5,
			warnings = warnings + $6, errors = errors + $7
		WHERE id = $1 AND fence = $2 AND records = $8 AND state IN `+runningStates,
		id, fence, c.last, c.count[0], c.count[1], c.count[2], c.count[3], c.first-1)
	if err != nil {
		return err
	}
	if n == 0 {
		if _, err := held(t.view, id, fence); err != nil {
			return err
		}
		return errors.Newf(errors.Conflict, "The output of the script execution %s does not go on with record %d.", id, c.first)
	}
	_, err = t.exec(`INSERT INTO chunks (execution, first_seq, last_seq, output, information, warnings, errors, data)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, id, c.first, c.last, c.count[0], c.count[1], c.count[2], c.count[3], c.data)
	return err
}

// seal encrypts the chunk's data, for its place only.
func (s *Store) seal(id string, c *chunk) (err error) {
	c.data, err = s.key.Seal(c.data, chunkOf(id, c.first))
	return err
}

func chunkOf(id string, first int64) []byte {
	return seal.Associated("output", id, strconv.FormatInt(first, 10))
}

const chunkColumns = `execution, first_seq, last_seq, data`

func (s *Store) scanChunk(r scanner) (c chunk, err error) {
	var id string
	if err := r.Scan(&id, &c.first, &c.last, &c.data); err != nil {
		return c, err
	}
	if c.data, err = s.key.Open(c.data, chunkOf(id, c.first)); err != nil {
		return c, fmt.Errorf("store: the chunk with records %d to %d of %s: %w", c.first, c.last, id, err)
	}
	return c, nil
}

// eachChunk calls use with the chunks of a query until it says false.
func (s *Store) eachChunk(v view, use func(chunk) (more bool, err error), query string, args ...any) error {
	rows, err := v.rows(query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		c, err := s.scanChunk(rows)
		if err != nil {
			return err
		}
		if more, err := use(c); err != nil || !more {
			return err
		}
	}
	return rows.Err()
}

// Records reads output in order of seq over all streams, from the one after the seq after: at most limit records and
// at most maxBytes of text, but always one where there is one.
func (s *Store) Records(ctx context.Context, id string, after int64, limit, maxBytes int) ([]domain.Record, error) {
	return read(ctx, s, func(v view) (recs []domain.Record, err error) {
		size, full := 0, false
		add := func(r domain.Record, text []byte) {
			if full || r.Seq <= after {
				return
			}
			size += len(text)
			if full = len(recs) > 0 && (len(recs) >= limit || size > maxBytes); !full {
				r.Text = string(text)
				recs = append(recs, r)
			}
		}
		err = s.eachChunk(v, func(c chunk) (bool, error) { err := c.unpack(add); return !full, err },
			`SELECT `+chunkColumns+` FROM chunks WHERE execution = (SELECT id FROM executions WHERE id = $1) AND first_seq >=
				coalesce((SELECT max(first_seq) FROM chunks WHERE execution = $1 AND first_seq <= $2), 0) ORDER BY first_seq`, id, after+1)
		if err == nil && len(recs) == 0 {
			_, err = executionByID(v, id)
		}
		return recs, err
	})
}

// streamColumns have the counts of records by stream, in executions and in chunks.
var streamColumns = [...]string{domain.Output: "output", domain.Information: "information", domain.Warning: "warnings", domain.Error: "errors"}

// Tail reads the last records of a stream, in order: at most maxLines, with at most maxBytes of text. omitted is the
// number of those before them.
func (s *Store) Tail(ctx context.Context, id string, stream domain.Stream, maxLines, maxBytes int) (recs []domain.Record, omitted int64, err error) {
	if stream < domain.Output || stream > domain.Error {
		return nil, 0, fmt.Errorf("store: unknown stream %d", stream)
	}
	column := streamColumns[stream]
	recs, err = read(ctx, s, func(v view) ([]domain.Record, error) {
		var last, total int64
		err := v.row(`SELECT records, `+column+` FROM executions WHERE id = $1`, id).Scan(&last, &total)
		if errors.Is(err, sql.ErrNoRows) {
			_, err = executionByID(v, id)
		}
		if err != nil || total == 0 {
			return nil, err
		}
		tail := tail{stream: stream, lines: int(min(int64(maxLines), total)), bytes: maxBytes}
		err = s.eachChunk(v, tail.take, `SELECT `+chunkColumns+` FROM chunks
			WHERE execution = $1 AND first_seq <= $2 AND `+column+` > 0 ORDER BY first_seq DESC`, id, last)
		slices.Reverse(tail.recs)
		omitted = total - int64(len(tail.recs))
		return tail.recs, err
	})
	return recs, omitted, err
}

// tail gathers the last records of a stream from chunks, newest first.
type tail struct {
	stream       domain.Stream
	lines, bytes int // still to come
	recs         []domain.Record
}

func (t *tail) take(c chunk) (more bool, err error) {
	type found struct {
		domain.Record
		text []byte
	}
	var all []found
	err = c.unpack(func(r domain.Record, text []byte) {
		if r.Stream == t.stream {
			all = append(all, found{r, text})
		}
	})
	for _, f := range slices.Backward(all) {
		if t.lines == 0 || len(f.text) > t.bytes {
			return false, err
		}
		f.Text = string(f.text)
		t.lines, t.bytes, t.recs = t.lines-1, t.bytes-len(f.text), append(t.recs, f.Record)
	}
	return t.lines > 0, err
}
