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
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/airlock-run/airlock/internal/errors"
)

// This file is all that is SQLite's own: how it is opened, locked, migrated, begun and checkpointed, and what its
// errors mean. (snapshot.go has how it is copied.) The statements elsewhere are SQL that PostgreSQL reads too ($1 for arguments, ON CONFLICT, RETURNING).

//go:embed schema/sqlite/*.sql
var sqliteSchema embed.FS

const (
	beginWrite    = "BEGIN IMMEDIATE"
	applicationID = 0x4149524c // "AIRL": marks a database file as ours
	readers       = 4          // connections that read side by side with the writer
)

// In WAL mode with synchronous FULL a commit is on the disk when it returns. secure_delete overwrites what is
// removed.
var pragmas = []string{
	"journal_mode(WAL)", "synchronous(FULL)", "secure_delete(ON)", "foreign_keys(ON)", "temp_store(MEMORY)",
	"journal_size_limit(16777216)",
}

// A process that was killed while it started a child leaves its lock to that child, until the child runs its program.
const (
	lockPatience = 2 * time.Second
	lockPause    = 10 * time.Millisecond
)

// lockFile takes the lock that keeps a second process from the state file, by whatever symbolic link it comes. The
// lock goes with the returned file.
func lockFile(path string) (*os.File, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil { // it is not there yet
		real = path
	}
	f, err := os.OpenFile(real+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, errors.Because(err, errors.ServiceUnavailable, "The state file %s cannot be opened; check that its directory exists and may be written to.", path)
	}
	for began := time.Now(); ; time.Sleep(lockPause) {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Since(began) > lockPatience {
			break
		}
	}
	if err == nil {
		return f, nil
	}
	f.Close()
	if err != unix.EWOULDBLOCK {
		return nil, errors.Because(err, errors.ServiceUnavailable, "The state file %s cannot be locked; it must lie on a file system with locks.", path)
	}
	return nil, errors.Newf(errors.Conflict, "The state file %s is in use by another Airlock process; stop that one, or use another state directory.", path)
}

// unlockFile gives the lock back at once: closed alone, it would stay for as long as a child process that is being
// started still has the file open.
func unlockFile(f *os.File) error {
	return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
}

func openSQLite(abs string, conns, busyMillis int, pragmas ...string) (*sql.DB, error) {
	return openURI(abs, conns, url.Values{"_busy_timeout": {strconv.Itoa(busyMillis)}, "_pragma": pragmas, "_dqs": {"0"}})
}

func openURI(abs string, conns int, q url.Values) (*sql.DB, error) {
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: abs, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// openFile makes the file where there is none, refuses one that is not ours as it is, and opens the writer's
// connection and the readers'.
func openFile(ctx context.Context, path string) (writer, reader *sql.DB, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(abs, os.O_RDWR|os.O_CREATE, 0o600) // SQLite alone would let everybody read it
	if err != nil {
		return nil, nil, errors.Because(err, errors.ServiceUnavailable, "The state file %s cannot be opened for writing; check its owner and permissions.", path)
	}
	f.Close()
	probe, err := openSQLite(abs, 1, 0)
	if err != nil {
		return nil, nil, err
	}
	if err := errors.Join(inspect(ctx, probe, path), probe.Close()); err != nil {
		return nil, nil, err
	}
	// The lock keeps other Airlocks away, so the writer meets its time-out in a checkpoint that waits for readers, and
	// where somebody has opened the file with a tool.
	if writer, err = openSQLite(abs, 1, 20, pragmas...); err != nil {
		return nil, nil, err
	}
	if reader, err = openSQLite(abs, readers, 5000, append(slices.Clone(pragmas), "query_only(ON)")...); err != nil {
		return nil, nil, errors.Join(err, writer.Close())
	}
	return writer, reader, nil
}

// inspect says whether the file is a state file that this version knows, or empty.
func inspect(ctx context.Context, db *sql.DB, path string) error {
	var app, tables, have int
	err := db.QueryRowContext(ctx, `SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)
		FROM pragma_application_id, pragma_user_version`).Scan(&app, &have, &tables)
	steps, bad := schemaSteps()
	switch {
	case errors.Join(err, bad) != nil:
		return errors.Join(err, bad)
	case app != applicationID && tables > 0:
		return notOurs(nil, path)
	case have > len(steps):
		return errors.Newf(errors.Conflict, "The state file %s has schema %d and this version of Airlock knows up to %d; use the version that wrote it, or a newer one.", path, have, len(steps))
	}
	return nil
}

func schemaSteps() ([]string, error) { return fs.Glob(sqliteSchema, "schema/sqlite/*.sql") }

// migrate brings the schema up to date, each step in a transaction of its own. The version is in user_version.
func migrate(ctx context.Context, conn *sql.Conn) error {
	var have int
	if err := conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return err
	}
	steps, err := schemaSteps()
	if err != nil {
		return err
	}
	for n := have + 1; n <= len(steps); n++ {
		step, err := sqliteSchema.ReadFile(steps[n-1])
		if err != nil {
			return err
		}
		script := fmt.Sprintf("%s; %s; PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT", beginWrite, step, applicationID, n)
		if _, err := conn.ExecContext(ctx, script); err != nil {
			_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") // fails where it did not come to BEGIN
			return fmt.Errorf("schema %d: %w", n, err)
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
	case sqlite3.SQLITE_BUSY:
		return errors.Because(err, errors.ServiceUnavailable, "Airlock cannot use its state because another program writes to %s, such as a database tool; end that program and try again.", path)
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN:
		return errors.Because(err, errors.ServiceUnavailable, "Airlock cannot use its state because the disk of %s has failed or is full; check it and try again.", path)
	case sqlite3.SQLITE_NOTADB:
		return notOurs(err, path)
	case sqlite3.SQLITE_CORRUPT:
		return errors.Because(err, errors.ServiceUnavailable, "The state file %s is damaged; stop Airlock and restore the file from a backup.", path)
	}
	return err
}
