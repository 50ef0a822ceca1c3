package store

import (
	"bytes"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// onFile is a fixture on a file that the test knows.
func onFile(t testing.TB) (f *fixture, path string) {
	path = filepath.Join(t.TempDir(), "state ?#%.db") // characters that mean something in a URI
	f = newFixture(t, engine{make: func(testing.TB) func(Config) (*Store, error) {
		return func(cfg Config) (*Store, error) {
			cfg.Path, cfg.Key = path, testKey
			return Open(t.Context(), cfg)
		}
	}}, Config{})
	return f, path
}

func TestOneProcessAFile(t *testing.T) {
	t.Parallel()
	f, path := onFile(t)
	_, err := Open(t.Context(), Config{Path: path})
	want(t, err, errors.Conflict)
	if !strings.Contains(err.Error(), path) {
		t.Errorf("%v does not name the file", err)
	}
	alias := filepath.Join(t.TempDir(), "alias")
	ok(t, os.Symlink(path, alias))
	_, err = Open(t.Context(), Config{Path: alias})
	want(t, err, errors.Conflict)
	f.putCloud(1) // who has the file is not troubled
	ok(t, f.Close())
	if _, err := os.Stat(path + "-wal"); !os.IsNotExist(err) { // SQLite removes it with the last connection
		t.Errorf("the log is still there: %v", err)
	}
	want(t, f.PutPrivateCloud(t.Context(), cloud(1)), errors.ServiceUnavailable)
	f.Store = nil
	f.reopen()
	info, err := os.Stat(path)
	ok(t, err)
	same(t, "mode", info.Mode().Perm(), os.FileMode(0o600))
}

func TestOpenRefusesForeignFiles(t *testing.T) {
	t.Parallel()
	refused := func(path string) {
		t.Helper()
		before, err := os.ReadFile(path)
		ok(t, err)
		_, err = Open(t.Context(), Config{Path: path})
		want(t, err, errors.Conflict)
		if !strings.Contains(err.Error(), path) {
			t.Errorf("%v does not name the file", err)
		}
		after, err := os.ReadFile(path)
		ok(t, err)
		if !bytes.Equal(before, after) {
			t.Errorf("%s was changed", path)
		}
	}
	change := func(path, query string) {
		t.Helper()
		db, err := sql.Open("sqlite", path)
		ok(t, err)
		_, err = db.Exec(query)
		ok(t, errors.Join(err, db.Close()))
	}
	text := filepath.Join(t.TempDir(), "text")
	ok(t, os.WriteFile(text, []byte(strings.Repeat("no database\n", 1000)), 0o600))
	refused(text)
	foreign := filepath.Join(t.TempDir(), "foreign.db")
	change(foreign, "CREATE TABLE t (x)")
	refused(foreign)

	newer := filepath.Join(t.TempDir(), "newer.db")
	s, err := Open(t.Context(), Config{Path: newer})
	ok(t, err)
	ok(t, s.Close())
	change(newer, "PRAGMA user_version = 99")
	refused(newer)

	_, err = Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "no", "such", "directory")})
	want(t, err, errors.ServiceUnavailable)
}

// A private cloud that the first schema registered is there in the newest, and has what came later as if it had always
// been.
func TestMigrate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	first := must[[]byte](t)(sqliteSchema.ReadFile("schema/sqlite/0001_init.sql"))
	db := must[*sql.DB](t)(openSQLite(path, 1, 0))
	for _, step := range []string{
		string(first), fmt.Sprintf("PRAGMA application_id = %d", applicationID), "PRAGMA user_version = 1",
		`INSERT INTO private_clouds VALUES ('` + cloudID(1).Key() + `', 'sub-1', 'group', 'Sub-1', 'Group', 'Cloud-1', 'westeurope', 'av36',
			'10.0.0.0/22', 3, 'Succeeded', '', 'vc.example', 'example', 'https://login.example')`,
		`INSERT INTO lanes (cloud) VALUES ('` + cloudID(1).Key() + `')`,
		`INSERT INTO packages VALUES ('a', '1.0.0', 'A', '1.0.0', 'one', 1, '{}'), ('a', '1.1.0-preview', 'A', '1.1.0-preview', 'two', 1, '{}'),
			('a', '1.1.0-dev.2', 'A', '1.1.0-dev.2', 'three', 1, '{}')`,
	} {
		_, err := db.Exec(step)
		ok(t, err)
	}
	ok(t, db.Close())
	s := must[*Store](t)(Open(t.Context(), Config{Path: path, Key: testKey}))
	defer func() { ok(t, s.Close()) }()
	got := must[domain.PrivateCloud](t)(s.PrivateCloud(t.Context(), cloudID(1)))
	same(t, "migrated", got, cloud(1))
	same(t, "egress", got.Egress.String(), "none")
	// Versions of before reviews were trusted, and those of the dev ring are never reviewed.
	for digest, state := range map[string]domain.ReviewState{"one": domain.Approved, "two": domain.Approved, "three": domain.Submitted} {
		p := must[domain.Package](t)(s.PackageByDigest(t.Context(), digest))
		same(t, p.Version, p.Review, domain.Review{State: state, Acknowledged: []string{}})
		same(t, p.Version, p.PushedBy, domain.Principal{})
	}
}

// TestNothingRemovedStaysInTheFile looks for secrets in the bytes of the database and its log: in output they are never
// there to be seen, because SQLite leaves copies of rows in pages where secure_delete does not reach them.
func TestNothingRemovedStaysInTheFile(t *testing.T) {
	t.Parallel()
	f, path := onFile(t)
	ctx := t.Context()
	const secret = "correct-horse-battery"
	onDisk := func() (n int) {
		t.Helper()
		for done := false; !done; { // false while the tidier of the background has a reader open
			done = must[bool](t)(f.tidy(ctx))
		}
		for _, suffix := range []string{"", "-wal"} {
			b, err := os.ReadFile(path + suffix)
			ok(t, err)
			n += bytes.Count(b, []byte(secret))
		}
		return n
	}
	random := rand.New(rand.NewPCG(1, 2))
	var running []domain.Claim
	var seq [3]int64
	for n := range 3 {
		x := execution(f.putCloud(n), "x")
		x.Sealed = []byte("sealed " + secret)
		_, _, err := f.Submit(ctx, x)
		ok(t, err)
		running = append(running, f.claimOne())
		f.submit(cloudID(n), "waits")
	}
	for range 500 { // chunks of all sizes, those of the three executions between one another
		n := random.IntN(3)
		var recs []domain.Record
		for range 1 + random.IntN(40) {
			seq[n]++
			recs = append(recs, lines(seq[n], domain.Output, strings.Repeat("abc", random.IntN(40))+secret)...)
		}
		ok(t, f.Append(ctx, running[n].Execution.ID, running[n].Fence, recs))
		events := calls(recs[0].Seq, int64(len(recs)))
		for i := range events {
			events[i].Detail = recs[i].Text
		}
		ok(t, f.AppendAudit(ctx, running[n].Execution.ID, running[n].Fence, events))
	}
	c := running[0]
	ok(t, f.Seal(ctx, c.Execution.ID, c.Fence, []byte("intent "+secret)))
	same(t, "secrets on the disk, output and audit apart", onDisk(), len(running)+1) // which the caller would have sealed

	for n, to := range []string{"[redacted]", "[redacted, which is longer than what was there]"} {
		c := running[n]
		ok(t, f.Rewrite(ctx, c.Execution.ID, c.Fence, func(recs []domain.Record) ([]domain.Record, bool) {
			for i := range recs {
				recs[i].Text = strings.ReplaceAll(recs[i].Text, secret, to)
			}
			return recs, len(recs) > 0
		}))
		ok(t, f.RewriteAudit(ctx, c.Execution.ID, c.Fence, 1<<30, func(events []audit.Event) bool {
			for i := range events {
				events[i].Detail = strings.ReplaceAll(events[i].Detail, secret, to)
			}
			return true
		}))
		f.finish(c, domain.Outcome{State: domain.Succeeded})
		for _, r := range f.all(c.Execution.ID) {
			if !strings.HasSuffix(r.Text, to) {
				t.Fatalf("record %d reads %q", r.Seq, r.Text)
			}
		}
		for _, e := range f.audited(c.Execution.ID) {
			if !strings.HasSuffix(e.Detail, to) {
				t.Fatalf("event %d reads %q", e.Seq, e.Detail)
			}
		}
	}
	_, _, err := f.Delete(ctx, cloudID(2), "x", newID())
	ok(t, err)
	f.finish(running[2], domain.Outcome{State: domain.Canceled})
	same(t, "secrets on the disk", onDisk(), 0)
}

func TestDiskFullIsSaidAndSurvived(t *testing.T) {
	t.Parallel()
	f, path := onFile(t)
	ctx, c := t.Context(), f.putCloud(1)
	claim := f.running(c, "x")
	pages := func(n int) {
		t.Helper()
		ok(t, f.write(ctx, func(t *tx) (err error) {
			return t.row(fmt.Sprint("PRAGMA max_page_count = ", n)).Scan(&n)
		}))
	}
	pages(200)
	text := strings.Repeat("x", 10_000)
	seq := int64(1)
	var err error
	for ; err == nil && seq < 1000; seq++ {
		err = f.Append(ctx, claim.Execution.ID, claim.Fence, lines(seq, domain.Output, text))
	}
	want(t, err, errors.ServiceUnavailable)
	if !strings.Contains(err.Error(), "disk of "+path+" is full") {
		t.Errorf("%v does not say which disk", err)
	}
	seq -= 1 // the one that failed
	same(t, "what was stored", len(f.all(claim.Execution.ID)), int(seq-1))
	pages(1 << 20)
	ok(t, f.Append(ctx, claim.Execution.ID, claim.Fence, lines(seq, domain.Output, text)))
	f.finish(claim, domain.Outcome{State: domain.Succeeded})
	f.running(c, "next")
}

// TestPlansUseIndexes names the index of each query that is asked often or of many rows.
func TestPlansUseIndexes(t *testing.T) {
	t.Parallel()
	f, _ := onFile(t)
	for query, index := range map[string]string{
		`SELECT cloud FROM lanes WHERE running IS NULL AND head IS NOT NULL AND paused = 0 ORDER BY head LIMIT 1`:                         "lanes_claimable",
		`SELECT x.id FROM executions x WHERE x.cloud = 'c' AND x.state = 'Pending' ORDER BY x.lane_seq LIMIT 1`:                           "executions_waiting",
		`SELECT x.id FROM executions x WHERE x.cloud = 'c' AND x.state IN ` + runningStates:                                               "executions_one_running",
		`SELECT 1 FROM executions WHERE expires <= 1`:                                                                                     "executions_expiring",
		`SELECT 1 FROM operations WHERE expires <= 1`:                                                                                     "operations_expiring",
		`SELECT 1 FROM private_clouds WHERE updated_by <> '' AND updated_by = 'x'`:                                                        "private_clouds_marked",
		`SELECT data FROM chunks WHERE execution = 'x' AND first_seq <= 9 AND output > 0 ORDER BY first_seq DESC`:                         "sqlite_autoindex_chunks_1",
		`SELECT x.id FROM executions x WHERE x.cloud = 'c' AND x.lane_seq > 1 ORDER BY x.lane_seq LIMIT 3`:                                "sqlite_autoindex_executions_3",
		`SELECT x.id FROM executions x WHERE x.cloud = 'c' AND x.name_key = 'n'`:                                                          "sqlite_autoindex_executions_2",
		`UPDATE operations SET finished = 1 WHERE execution = 'x'`:                                                                        "operations_by_execution",
		`SELECT c.name FROM private_clouds c WHERE c.subscription_key = 's' AND ('' = '' OR c.group_key = 'x') ORDER BY c.key`:            "private_clouds_by_group",
		`SELECT id FROM executions WHERE expires <= 1 ORDER BY expires LIMIT 3`:                                                           "executions_expiring",
		`SELECT count(*) FROM executions b WHERE b.cloud = 'c' AND b.state = 'Pending' AND b.lane_seq < 7`:                                "executions_waiting",
		`SELECT first_seq FROM chunks WHERE execution = 'x' AND first_seq <= 7 AND last_seq >= 7 ORDER BY first_seq DESC LIMIT 1`:         "sqlite_autoindex_chunks_1",
		`SELECT first_seq FROM chunks WHERE execution = (SELECT id FROM executions WHERE id = 'x') AND first_seq >= 1 ORDER BY first_seq`: "sqlite_autoindex_chunks_1",
		`SELECT data FROM audit_chunks WHERE execution = 'x' AND first_seq > 7 ORDER BY first_seq LIMIT 1`:                                "sqlite_autoindex_audit_chunks_1",
	} {
		steps, err := list(view{t.Context(), f.reader}, func(r scanner) (detail string, err error) {
			var a, b, c int
			return detail, r.Scan(&a, &b, &c, &detail)
		}, "EXPLAIN QUERY PLAN "+query)
		ok(t, err)
		if !slices.ContainsFunc(steps, func(s string) bool { return strings.Contains(s, index) }) || strings.Contains(strings.Join(steps, " "), "SCAN private") {
			t.Errorf("%s: %q", query, steps)
		}
	}
}

// TestTidierIsToldOfSecrets counts the removals after which the log must be emptied.
func TestTidierIsToldOfSecrets(t *testing.T) {
	t.Parallel()
	f, _ := onFile(t)
	f.tidier.close() // its bell rings on, and this test hears it
	ctx := t.Context()
	run := func(n int, sealed, intent []byte) (domain.Claim, domain.CloudID) {
		t.Helper()
		x := execution(f.putCloud(n), "x")
		x.Sealed = sealed
		_, _, err := f.Submit(ctx, x)
		ok(t, err)
		c := f.claimOne()
		if intent != nil {
			ok(t, f.Seal(ctx, x.ID, c.Fence, intent))
		}
		return c, x.Cloud
	}
	told := func(what string, want bool) {
		t.Helper()
		t.Log(what)
		woken(t, f.tidier.bell, want)
	}
	for len(f.tidier.bell) > 0 {
		<-f.tidier.bell
	}
	plain, at := run(1, nil, nil)
	ok(t, f.Append(ctx, plain.Execution.ID, plain.Fence, lines(1, domain.Output, "a")))
	told("what only adds", false)
	ok(t, f.Rewrite(ctx, plain.Execution.ID, plain.Fence, func(recs []domain.Record) ([]domain.Record, bool) { return recs, len(recs) > 0 }))
	told("rewritten output", true)
	f.finish(plain, domain.Outcome{State: domain.Succeeded})
	told("an end that removes nothing", false)
	_, _, err := f.Delete(ctx, at, "x", newID())
	ok(t, err)
	told("a removed record", true)

	secure, _ := run(2, []byte("sealed"), nil)
	f.finish(secure, domain.Outcome{State: domain.Succeeded})
	told("secure values", true)
	intent, _ := run(3, nil, []byte("intent"))
	f.finish(intent, domain.Outcome{State: domain.Succeeded})
	told("an intent", true)
	_, at = run(4, nil, nil)
	waiting := f.submit(at, "waits")
	_ = must[domain.Execution](t)(f.Cancel(ctx, at, waiting.Name))
	told("secure values of one that waited", true)
}

func TestForeignWriterIsSaidAndSurvived(t *testing.T) {
	t.Parallel()
	f, path := onFile(t)
	tool, err := openSQLite(path, 1, 5000)
	ok(t, err)
	defer tool.Close()
	conn := must[*sql.Conn](t)(tool.Conn(t.Context()))
	defer conn.Close()
	_, err = conn.ExecContext(t.Context(), beginWrite)
	ok(t, err)
	err = f.PutPrivateCloud(t.Context(), cloud(1))
	want(t, err, errors.ServiceUnavailable)
	if !strings.Contains(err.Error(), "another program writes to "+path) {
		t.Errorf("%v does not say why", err)
	}
	_, err = conn.ExecContext(t.Context(), "ROLLBACK")
	ok(t, err)
	f.putCloud(1)
}
