package store

import (
	"context"
	"sync"
	"time"
)

const (
	defaultRetention = 60 * 24 * time.Hour
	tidyPause        = time.Second // at least, between two passes of the tidier
	tidyChunks       = 8           // chunks removed in one transaction, which others wait for: some 10 MiB at most
)

// Expire removes at most limit executions past their retention (60 days after their end where they ask for none)
// with their output and audit, and at most limit operations whose execution went 24 hours ago. It says how many of both; when
// that is 0 nothing is left to remove.
func (s *Store) Expire(ctx context.Context, limit int) (n int, err error) {
	now, limit := s.now(), max(limit, 1)
	due, err := read(ctx, s, func(v view) (due bool, err error) {
		return due, v.row(`SELECT EXISTS (SELECT 1 FROM executions WHERE expires <= $1)
			OR EXISTS (SELECT 1 FROM operations WHERE expires <= $1)`, now.UnixMicro()).Scan(&due)
	})
	if err != nil || !due {
		return 0, err
	}
	err = s.write(ctx, func(t *tx) error {
		gone, err := t.exec(`DELETE FROM operations WHERE id IN
			(SELECT id FROM operations WHERE expires <= $1 ORDER BY expires LIMIT $2)`, now.UnixMicro(), limit)
		if err != nil {
			return err
		}
		old, err := list(t.view, func(r scanner) (h holding, err error) { return h, r.Scan(&h.id, &h.cloud, &h.state) },
			`SELECT id, cloud, state FROM executions WHERE expires <= $1 ORDER BY expires LIMIT $2`, now.UnixMicro(), limit)
		if err != nil {
			return err
		}
		for _, h := range old {
			if err := remove(t, h, now); err != nil {
				return err
			}
		}
		n = int(gone) + len(old)
		return nil
	})
	return n, err
}

// tidier sees to it in the background that what was removed or redacted is soon nowhere in the file or its log.
type tidier struct {
	bell    chan struct{}
	stop    context.CancelFunc
	stopped sync.WaitGroup
}

func (td *tidier) start(s *Store) {
	ctx, cancel := context.WithCancel(context.Background())
	td.bell, td.stop = make(chan struct{}, 1), cancel
	td.wake() // an earlier process may have left something to do
	td.stopped.Go(func() {
		for {
			select {
			case <-td.bell:
			case <-ctx.Done():
				return
			}
			if done, err := s.tidy(ctx); !done && ctx.Err() == nil {
				if err != nil {
					s.log.Warn("removed data is still in the state file; trying again", "file", s.path, "error", err)
				}
				td.wake()
			}
			select {
			case <-time.After(tidyPause):
			case <-ctx.Done():
				return
			}
		}
	})
}

func (td *tidier) wake() { ring(td.bell) }

func (td *tidier) close() {
	td.stop()
	td.stopped.Wait()
}

// tidy removes the output and the audit of removed executions, then empties the write-ahead log. It says false where a reader that
// is under way keeps the log.
func (s *Store) tidy(ctx context.Context) (done bool, err error) {
	for more := true; more; {
		if more, err = s.sweep(ctx); err != nil {
			return false, err
		}
	}
	return s.writer.checkpoint()
}

// sweep removes some chunks.
func (s *Store) sweep(ctx context.Context) (more bool, err error) {
	ids, err := read(ctx, s, func(v view) ([]string, error) {
		return list(v, scanText, `SELECT execution FROM removed LIMIT 1`)
	})
	if err != nil || len(ids) == 0 {
		return false, err
	}
	return true, s.write(ctx, func(t *tx) error {
		for _, table := range []string{"chunks", "audit_chunks"} {
			n, err := t.exec(`DELETE FROM `+table+` WHERE execution = $1 AND first_seq IN
				(SELECT first_seq FROM `+table+` WHERE execution = $1 ORDER BY first_seq LIMIT $2)`, ids[0], tidyChunks)
			if err != nil || n == tidyChunks {
				return err
			}
		}
		_, err := t.exec(`DELETE FROM removed WHERE execution = $1`, ids[0])
		return err
	})
}
