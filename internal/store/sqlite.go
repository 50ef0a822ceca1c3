package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/airlock-run/airlock/internal/errors"
)

// This file is all that is SQLite's own: how it is opened, locked, migrated, begun and checkpointed, and what its
// errors mean. The statements elsewhere are SQL that PostgreSQL reads too ($1 for arguments, ON CONFLICT, RETURNING).

//go:embed schema/sqlite/*.sql
var sqliteSchema embed.FS

const (
	beginWrite    = "BEGIN IMMEDIATE"
	applicationID = 0x4149524c // "AIRL": marks a database file as ours
	readers       = 4          // connections that read side by side with the writer
)

// In WAL mode with synchronous FULL a commit is on the disk when it returns. secure_delete overwrites what is
// removed. Nobody else writes the file, so the time-out is met only by a checkpoint that waits for readers.
var pragmas = []string{
	"busy_timeout(100)", "journal_mode(WAL)", "synchronous(FULL)", "secure_delete(ON)", "foreign_keys(ON)",
	"temp_store(MEMORY)", "journal_size_limit(16777216)",
}

// lockFile takes the lock that keeps a second process from the state file. The lock goes with the returned file.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, errors.Because(err, errors.ServiceUnavailable, "The state file %s cannot be opened; check that its directory exists and may be written to.", path)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	f.Close()
	if err != unix.EWOULDBLOCK {
		return nil, errors.Because(err, errors.ServiceUnavailable, "The state file %s cannot be locked; it must lie on a file system with locks.", path)
	}
	return nil, errors.Newf(errors.Conflict, "The state file %s is in use by another Airlock process; stop that one, or use another state directory.", path)
}

// openSQLite opens the writer's and the readers' connections to the file, and makes it if there is none.
func openSQLite(path string) (writer, reader *sql.DB, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(abs, os.O_RDWR|os.O_CREATE, 0o600) // SQLite alone would let everybody read it
	if err != nil {
		return nil, nil, errors.Because(err, errors.ServiceUnavailable, "The state file %s cannot be opened for writing; check its owner and permissions.", path)
	}
	f.Close()
	open := func(max int, more ...string) (*sql.DB, error) {
		q := url.Values{"_pragma": append(pragmas[:len(pragmas):len(pragmas)], more...), "_dqs": {"0"}}
		db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: abs, RawQuery: q.Encode()}).String())
		if err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(max)
		db.SetMaxIdleConns(max)
		return db, nil
	}
	if writer, err = open(1); err != nil {
		return nil, nil, err
	}
	if reader, err = open(readers, "query_only(ON)"); err != nil {
		return nil, nil, errors.Join(err, writer.Close())
	}
	return writer, reader, nil
}

// migrate brings the schema up to date, each step in a transaction of its own. The version is in user_version.
func migrate(ctx context.Context, conn *sql.Conn, path string) error {
	var app, have, tables int
	for query, dest := range map[string]*int{
		"PRAGMA application_id": &app, "PRAGMA user_version": &have, "SELECT count(*) FROM sqlite_schema": &tables,
	} {
		if err := conn.QueryRowContext(ctx, query).Scan(dest); err != nil {
			return err
		}
	}
	if app != applicationID && tables > 0 {
		return notOurs(nil, path)
	}
	steps, err := fs.Glob(sqliteSchema, "schema/sqlite/*.sql")
	if err != nil {
		return err
	}
	if have > len(steps) {
		return errors.Newf(errors.Conflict, "The state file %s has schema %d and this version of Airlock knows up to %d; use the version that wrote it, or a newer one.", path, have, len(steps))
	}
	for n := have + 1; n <= len(steps); n++ {
		step, err := sqliteSchema.ReadFile(steps[n-1])
		if err != nil {
			return err
		}
		script := fmt.Sprintf("%s; %s; PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT", beginWrite, step, applicationID, n)
		if _, err := conn.ExecContext(ctx, script); err != nil {
			_, undo := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
			return errors.Join(fmt.Errorf("schema %d: %w", n, err), undo)
		}
	}
	return nil
}

func notOurs(cause error, path string) error {
	return errors.Because(cause, errors.Conflict, "The file %s is not a state file of Airlock; name another file.", path)
}

// checkpoint moves the write-ahead log into the database file and cuts it to nothing. It says false where a reader
// still needs the log.
func checkpoint(v view) (done bool, err error) {
	var busy, frames, moved int
	if err := v.row("PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &moved); err != nil {
		return false, err
	}
	return busy == 0, nil
}

// explain turns the database's own errors into what a user can act on; others stay as they are.
func explain(err error, path string) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return errors.Because(err, errors.ServiceUnavailable, "Airlock cannot store anything because the disk of %s is full; make room there and try again.", path)
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN:
		return errors.Because(err, errors.ServiceUnavailable, "Airlock cannot use its state because the disk of %s has failed or is full; check it and try again.", path)
	case sqlite3.SQLITE_NOTADB:
		return notOurs(err, path)
	case sqlite3.SQLITE_CORRUPT:
		return errors.Because(err, errors.ServiceUnavailable, "The state file %s is damaged; stop Airlock and restore the file from a backup.", path)
	}
	return err
}
