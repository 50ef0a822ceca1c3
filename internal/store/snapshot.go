package store

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite"

	"github.com/airlock-run/airlock/internal/errors"
)

// Schema is the version of the schema that this Airlock writes. It opens files of lower versions too.
func Schema() (int, error) {
	steps, err := schemaSteps()
	return len(steps), err
}

// pagesAtOnce is how much of a snapshot is copied before its context is asked again.
const pagesAtOnce = 1024

// Snapshot copies the state in the file at path, as it is at one moment, into a new file that only its owner may read.
// It works beside the process that has the file open and does not hold it up: a reader in WAL mode sees the state of
// its beginning, whatever is written meanwhile. pinned is called once that moment has come and before the first page is
// copied; its error ends the snapshot and is returned. After an error there is no new file.
func Snapshot(ctx context.Context, path, into string, pinned func() error) (err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if _, err := os.Stat(abs); err != nil {
		return errors.Because(err, errors.ResourceNotFound, "There is no state file %s; name the state directory of a server.", path)
	}
	db, err := openURI(abs, 1, url.Values{"mode": {"ro"}, "_busy_timeout": {"5000"}, "_dqs": {"0"}})
	if err != nil {
		return err
	}
	defer func() { err = explain(errors.Join(err, db.Close()), path) }()
	if err := inspect(ctx, db, path); err != nil {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := pin(ctx, conn); err != nil {
		return err
	}
	defer func() { _, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") }()
	if err := pinned(); err != nil {
		return err
	}
	f, err := os.OpenFile(into, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // SQLite alone would let everybody read it
	if err != nil {
		return err
	}
	if err := errors.Join(f.Close(), copyPages(ctx, conn, into)); err != nil {
		return errors.Join(err, os.Remove(into))
	}
	return nil
}

// pin begins a transaction that reads: from here on the connection sees the state of this moment.
func pin(ctx context.Context, conn *sql.Conn) error {
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		return err
	}
	var tables int
	return conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables)
}

// copyPages copies what the connection sees by SQLite's backup API, which keeps to the connection's transaction where
// there is one. (VACUUM INTO would make a smaller copy, but begins its transaction itself, at a moment of its own.)
func copyPages(ctx context.Context, conn *sql.Conn, into string) error {
	return conn.Raw(func(driver any) error {
		from := driver.(interface {
			NewBackup(uri string) (*sqlite.Backup, error)
		})
		b, err := from.NewBackup((&url.URL{Scheme: "file", OmitHost: true, Path: into}).String())
		if err != nil {
			return err
		}
		for more := true; more && err == nil; {
			if err = ctx.Err(); err == nil {
				more, err = b.Step(pagesAtOnce)
			}
		}
		return errors.Join(err, b.Finish())
	})
}

// Check reads the whole state file at path, which nobody has open, and returns its schema. A file that is none of
// Airlock's, that is damaged, or that a newer version wrote is a Conflict. It changes nothing, and leaves no file beside.
func Check(ctx context.Context, path string) (schema int, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return 0, err
	}
	db, err := openURI(abs, 1, url.Values{"mode": {"ro"}, "immutable": {"1"}, "_dqs": {"0"}})
	if err != nil {
		return 0, err
	}
	defer func() { err = explain(errors.Join(err, db.Close()), path) }()
	if err := inspect(ctx, db, path); err != nil {
		return 0, err
	}
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&schema); err != nil {
		return 0, err
	}
	if schema == 0 {
		return 0, notOurs(nil, path)
	}
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return 0, err
	}
	if verdict != "ok" {
		return 0, errors.Because(errors.New(verdict), errors.Conflict, "The state file %s is damaged.", path)
	}
	return schema, nil
}
