// Package store keeps Airlock's state: private clouds, the declarations of packages, executions with their queue and
// output, and operations. It is where two promises are kept: per private cloud one execution runs, in the order of
// submission, and what was accepted survives a kill while nothing runs twice.
//
// A private cloud's queue is a lane: one row that every submission, claim and end updates in its transaction, with a
// unique index behind it that forbids two running executions whatever the code does. A claim carries a fence, a number
// that goes with each later write about the execution; a write with another number is refused with the code
// ExecutorLost.
//
// Output and audit are sealed: they may show a secret until Airlock knows it and rewrites them, and a database leaves copies of rows
// behind that no statement reaches (SQLite does where it moves rows between pages, secure_delete or not).
//
// The engine is SQLite: one goroutine writes, with one commit for all writes that wait at the same time, and some
// connections read. Every method that writes returns when its change is durable. Errors that a user can act on are of
// package errors; a disk that is full or fails is ServiceUnavailable, and the store goes on once there is room.
package store

import (
	"context"
	"database/sql"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/seal"
)

// Config says where the state lies and how it is bounded.
type Config struct {
	Path      string           // of the database file; its directory must exist
	Key       seal.Key         // for this purpose only: output and audit are sealed with it
	Now       func() time.Time // time.Now when nil
	Logger    *slog.Logger     // of what goes on in the background; discards when nil
	MaxQueued int              // executions that may wait per private cloud, 1000 when 0
	Ended     func(id string)  // told of each execution that is final or gone, before anybody is woken; a repetition does no harm
}

// Store is the state of one Airlock. All methods can be called from any goroutine.
type Store struct {
	path      string
	key       seal.Key
	now       func() time.Time
	log       *slog.Logger
	maxQueued int
	ended     func(id string)

	lock      *os.File
	writerDB  *sql.DB
	conn      *sql.Conn // of writerDB, the writer's own
	readerDB  *sql.DB
	reader    *statements
	writer    *writer
	watchers  watchers
	tidier    tidier
	claimed   atomic.Bool // something may have been claimed since Open
	closeOnce sync.Once
}

// Open opens the state file, makes it where there is none, and brings its schema up to date. A file that another
// process has open, that a newer version wrote or that is no state file is a Conflict.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	s := &Store{path: cfg.Path, key: cfg.Key, now: cfg.Now, log: cfg.Logger, maxQueued: cfg.MaxQueued, ended: cfg.Ended}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.maxQueued == 0 {
		s.maxQueued = 1000
	}
	var err error
	if s.lock, err = lockFile(cfg.Path); err != nil {
		return nil, err
	}
	if err := s.open(ctx); err != nil {
		return nil, explain(errors.Join(err, s.closeFiles()), s.path)
	}
	s.watchers.init()
	s.tidier.start(s)
	return s, nil
}

func (s *Store) open(ctx context.Context) (err error) {
	if s.writerDB, s.readerDB, err = openFile(ctx, s.path); err != nil {
		return err
	}
	if s.conn, err = s.writerDB.Conn(ctx); err != nil {
		return err
	}
	if err := migrate(ctx, s.conn); err != nil {
		return err
	}
	s.reader = &statements{db: s.readerDB}
	s.writer = newWriter(&statements{db: s.conn}, s.committed)
	return nil
}

// committed wakes whoever waits for what a group of writes has changed. What an end destroys is destroyed before.
func (s *Store) committed(jobs []*job) {
	for _, j := range jobs {
		if s.ended != nil {
			for _, id := range j.tx.ended {
				s.ended(id)
			}
		}
		s.watchers.wake(j.tx.changed, j.tx.work)
		if j.tx.tidy {
			s.tidier.wake()
		}
	}
}

func (s *Store) write(ctx context.Context, do func(*tx) error) error {
	return explain(s.writer.write(ctx, do), s.path)
}

// Close waits for the write that is under way, refuses later ones, and gives the file free.
func (s *Store) Close() (err error) {
	s.closeOnce.Do(func() {
		s.tidier.close()
		s.writer.close()
		err = explain(errors.Join(s.writer.on.close(), s.closeFiles()), s.path)
	})
	return err
}

func (s *Store) closeFiles() (err error) {
	if s.readerDB != nil {
		err = s.readerDB.Close()
	}
	if s.conn != nil {
		err = errors.Join(err, s.conn.Close())
	}
	if s.writerDB != nil {
		err = errors.Join(err, s.writerDB.Close())
	}
	return errors.Join(err, unlockFile(s.lock))
}
