package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/seal"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/secrets"
)

var cloud = domain.CloudID{Subscription: "s", ResourceGroup: "g", Name: "c"}

// state is a state directory in use.
type state struct {
	t       testing.TB
	dir     string
	key     seal.Key
	store   *store.Store
	secrets *secrets.File
	keys    *seal.Keys
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, dir string) *state {
	t.Helper()
	key, err := seal.LoadOrCreate(filepath.Join(dir, "key"))
	ok(t, err)
	s := &state{t: t, dir: dir, key: key}
	s.store, err = store.Open(t.Context(), store.Config{Path: filepath.Join(dir, database), Key: key.Derive("output")})
	ok(t, err)
	t.Cleanup(func() { ok(t, s.store.Close()) })
	s.secrets, err = secrets.OpenFile(filepath.Join(dir, secretsDir), key.Derive("persistent secrets"))
	ok(t, err)
	s.keys, err = seal.OpenKeys(filepath.Join(dir, keysDir), key.Derive("keys of executions"))
	ok(t, err)
	return s
}

func newState(t testing.TB) *state {
	s := open(t, filepath.Join(t.TempDir(), "state"))
	ok(t, s.store.PutPrivateCloud(t.Context(), domain.PrivateCloud{ID: cloud}))
	ok(t, s.setSecret("first"))
	_, err := s.keys.Make("0")
	ok(t, err)
	ok(t, os.MkdirAll(filepath.Join(s.dir, contentDir), 0o700))
	for _, name := range []string{strings.Repeat("ab", 32) + ".nupkg", ".tmp-being-written"} {
		ok(t, os.WriteFile(filepath.Join(s.dir, contentDir, name), []byte("the content of a package"), 0o600))
	}
	ok(t, os.WriteFile(filepath.Join(s.dir, "audit.log"), []byte("{}\n"), 0o600))
	return s
}

func (s *state) setSecret(value string) error {
	text := secret.New(value)
	return s.secrets.Write(context.Background(), cloud, "Package", "1.0.0", map[string]*secret.Text{"name": &text})
}

func (s *state) secret() string {
	s.t.Helper()
	all, err := s.secrets.Read(s.t.Context(), cloud, "Package")
	ok(s.t, err)
	return all["name"].Reveal()
}

// note keeps a word in the database.
func (s *state) note(word string) error {
	_, _, err := s.store.Submit(context.Background(), domain.Execution{ID: word, Name: word, Cloud: cloud, BodyDigest: []byte(word), Submitted: time.Now()})
	return err
}

func (s *state) noted(word string) bool {
	_, err := s.store.Execution(s.t.Context(), cloud, word)
	if err != nil && !errors.Has(err, errors.ResourceNotFound) {
		s.t.Fatal(err)
	}
	return err == nil
}

// tree is what lies below a directory: modes, and the content of files.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	ok(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		content := ""
		if !e.IsDir() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content = string(data)
		}
		name, err := filepath.Rel(dir, path)
		all[name] = info.Mode().String() + " " + content
		return err
	}))
	return all
}

func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	s := newState(t)
	ok(t, s.note("kept"))
	place := t.TempDir()
	file := filepath.Join(place, "backup")
	made, err := Write(t.Context(), s.dir, file)
	ok(t, err)
	if left := tree(t, place); len(left) != 2 || !strings.HasPrefix(left["backup"], "-rw------- ") {
		t.Errorf("beside the backup there is something, or its mode is wrong: %d files, %.10s", len(left)-2, left["backup"])
	}
	before, err := os.ReadFile(file)
	ok(t, err)
	if _, err := Write(t.Context(), s.dir, file); !errors.Has(err, errors.Conflict) {
		t.Errorf("a second backup into the same file: %v", err)
	}
	after, err := os.ReadFile(file)
	ok(t, err)
	if !bytes.Equal(before, after) {
		t.Error("the backup that was there is another one now")
	}

	to := filepath.Join(t.TempDir(), "deep", "state")
	restored, err := Restore(t.Context(), file, to)
	ok(t, err)
	if d := cmp.Diff(made, restored); d != "" {
		t.Errorf("the manifest (-made +restored):\n%s", d)
	}
	want, got := tree(t, s.dir), tree(t, to)
	for _, name := range []string{database, database + "-wal", database + "-shm", database + ".lock", contentDir + "/.tmp-being-written", "audit.log"} {
		delete(want, name)
	}
	delete(got, database)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("what is restored (-want +got):\n%s", d)
	}
	r := open(t, to)
	if r.secret() != "first" || !r.noted("kept") {
		t.Error("a secret or an execution is lost")
	}
	if _, err := Restore(t.Context(), file, to); !errors.Has(err, errors.Conflict) {
		t.Errorf("restored into a directory that is in use: %v", err)
	}
	if r.secret() != "first" {
		t.Error("a refused restore has changed something")
	}
}

// While somebody changes secrets the way that executions do (the key, the intent, the secret, the end, and then the key is
// destroyed), each backup has the intent of the change that its secrets show, all ends that it has are of changes that
// they show, and the key of each intent without an end is there.
func TestBackupsAgreeWithThemselves(t *testing.T) {
	t.Parallel()
	s := newState(t)
	ok(t, s.setSecret("0"))
	ended := make(chan error, 1)
	go func() {
		var err error
		for n := 1; n <= 80 && err == nil; n++ {
			for _, step := range []func() error{
				func() error { _, err := s.keys.Make(strconv.Itoa(n)); return err },
				func() error { return s.note(fmt.Sprintf("intent-%d", n)) },
				func() error { return s.setSecret(strconv.Itoa(n)) },
				func() error { return s.note(fmt.Sprintf("end-%d", n)) },
				func() error { return s.keys.Destroy(strconv.Itoa(n)) },
			} {
				if err == nil {
					err = step()
				}
			}
		}
		ended <- err
	}()
	between := 0
	for last := false; !last; {
		select {
		case err := <-ended:
			ok(t, err)
			last = true
		default:
		}
		file, to := filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "state")
		_, err := Write(t.Context(), s.dir, file)
		if !last && errors.Has(err, errors.ServiceUnavailable) {
			continue // they change too fast
		}
		ok(t, err)
		_, err = Restore(t.Context(), file, to)
		ok(t, err)
		r := open(t, to)
		n, err := strconv.Atoi(r.secret())
		ok(t, err)
		if n > 0 && !r.noted(fmt.Sprintf("intent-%d", n)) {
			t.Errorf("a backup has the secrets of change %d and not its intent", n)
		}
		if r.noted(fmt.Sprintf("end-%d", n+1)) {
			t.Errorf("a backup has the end of change %d and not its secrets", n+1)
		}
		for m := max(n, 1); m <= n+1; m++ {
			if r.noted(fmt.Sprintf("intent-%d", m)) && !r.noted(fmt.Sprintf("end-%d", m)) {
				if _, err := r.keys.Get(strconv.Itoa(m)); err != nil {
					t.Errorf("a backup has the intent of change %d, and no key that opens it: %v", m, err)
				}
			}
		}
		if !last && n > 0 {
			between++
		}
	}
	t.Logf("%d backups were made between the first change and the last", between)
}

// entry is an entry of an archive.
type entry struct {
	tar.Header
	data []byte
}

// archive is a backup taken apart.
type archive struct {
	manifest Manifest
	entries  []entry // without the manifest
}

func takeApart(t testing.TB, file string) *archive {
	t.Helper()
	f, err := os.Open(file)
	ok(t, err)
	defer f.Close()
	zip, err := gzip.NewReader(f)
	ok(t, err)
	a := &archive{}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if err == io.EOF {
			ok(t, json.Unmarshal(a.entries[0].data, &a.manifest))
			a.entries = a.entries[1:]
			return a
		}
		ok(t, err)
		data, err := io.ReadAll(r)
		ok(t, err)
		a.entries = append(a.entries, entry{*h, data})
	}
}

// find is the entry whose name begins so, and its place in the manifest.
func (a *archive) find(prefix string) (*entry, *File) {
	for i := range a.entries {
		if strings.HasPrefix(a.entries[i].Name, prefix) {
			return &a.entries[i], &a.manifest.Files[i]
		}
	}
	panic(prefix)
}

// add adds a file that the manifest names rightly.
func (a *archive) add(name string, data string) *entry {
	sum := sha256.Sum256([]byte(data))
	a.manifest.Files = append(a.manifest.Files, File{name, int64(len(data)), hex.EncodeToString(sum[:])})
	a.entries = append(a.entries, entry{*header(name, int64(len(data))), []byte(data)})
	return &a.entries[len(a.entries)-1]
}

func (a *archive) bytes(t testing.TB) []byte {
	t.Helper()
	manifest, err := json.Marshal(a.manifest)
	ok(t, err)
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	w := tar.NewWriter(zip)
	for _, e := range append([]entry{{*header(manifestName, int64(len(manifest))), manifest}}, a.entries...) {
		e.Header.Format = tar.FormatUnknown
		ok(t, w.WriteHeader(&e.Header))
		if e.Typeflag == tar.TypeReg {
			_, err := w.Write(e.data)
			ok(t, err)
		}
	}
	ok(t, errors.Join(w.Close(), zip.Close()))
	return b.Bytes()
}

// A restore that finds at its end that somebody has begun a state meanwhile leaves that as it is, and nothing of its own.
func TestRestoreReplacesNothing(t *testing.T) {
	t.Parallel()
	for _, theirs := range []string{"key", "secrets/x"} {
		dir := t.TempDir()
		staged := filepath.Join(dir, Restoring)
		ok(t, errors.Join(os.MkdirAll(filepath.Join(staged, "secrets"), 0o700), os.Mkdir(filepath.Join(dir, "secrets"), 0o700)))
		if theirs == "key" {
			ok(t, os.Remove(filepath.Join(dir, "secrets")))
		}
		for _, name := range []string{database, "key", "secrets/x"} {
			ok(t, os.WriteFile(filepath.Join(staged, name), []byte("ours"), 0o600))
		}
		ok(t, os.WriteFile(filepath.Join(dir, theirs), []byte("theirs"), 0o600))
		if err := place(Manifest{}, staged, dir); !errors.Is(err, fs.ErrExist) {
			t.Errorf("beside %s: %v", theirs, err)
		}
		ok(t, os.RemoveAll(staged))
		for name, is := range tree(t, dir) {
			if strings.HasSuffix(is, "ours") || name == theirs && !strings.HasSuffix(is, "theirs") {
				t.Errorf("beside %s: %s is %s", theirs, name, is)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, theirs)); err != nil {
			t.Error(err)
		}
	}
}

// Whatever is wrong with a backup, it is refused in a sentence and nothing of it is left.
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	s := newState(t)
	sound := filepath.Join(t.TempDir(), "backup")
	_, err := Write(t.Context(), s.dir, sound)
	ok(t, err)
	whole, err := os.ReadFile(sound)
	ok(t, err)
	changed := func(change func(*archive)) []byte {
		a := takeApart(t, sound)
		change(a)
		return a.bytes(t)
	}
	flipped := func(at int) []byte {
		b := bytes.Clone(whole)
		b[at] ^= 0x20
		return b
	}
	type refusal struct {
		code errors.Code
		says string
		data []byte
	}
	cases := map[string]refusal{
		"empty":                {errors.Usage, "ends early", nil},
		"no archive":           {errors.Usage, "not one of Airlock's", []byte("PK this is something else altogether")},
		"cut in the middle":    {errors.Usage, "ends early", whole[:len(whole)/2]},
		"cut at the end":       {errors.Usage, "ends early", whole[:len(whole)-1]},
		"something behind":     {errors.Usage, "something follows", append(bytes.Clone(whole), 'x')},
		"another gzip behind":  {errors.Usage, "something follows", append(bytes.Clone(whole), whole...)},
		"checksum of gzip":     {errors.Usage, "damaged", flipped(len(whole) - 6)},
		"a byte in the middle": {errors.Usage, "damaged", flipped(len(whole) / 2)},
		"newer schema":         {errors.Conflict, "newer Airlock", changed(func(a *archive) { a.manifest.Schema += 100 })},
		"newer format":         {errors.Conflict, "newer Airlock", changed(func(a *archive) { a.manifest.Format++ })},
		"older format":         {errors.Usage, "damaged", changed(func(a *archive) { a.manifest.Format = 0 })},
		"newer database under an older manifest": {errors.Conflict, "schema 250", changed(func(a *archive) {
			e, f := a.find(database)
			e.data[63] = 250 // user_version
			sum := sha256.Sum256(e.data)
			f.SHA256 = hex.EncodeToString(sum[:])
		})},
		"schema that the database does not have": {errors.Usage, "its manifest says", changed(func(a *archive) { a.manifest.Schema-- })},
		"a database that is none": {errors.Conflict, "not a state file", changed(func(a *archive) {
			e, f := a.find(database)
			e.data = bytes.Repeat([]byte("x"), len(e.data))
			sum := sha256.Sum256(e.data)
			f.SHA256 = hex.EncodeToString(sum[:])
		})},
		"no database": {errors.Usage, "names no airlock.db", changed(func(a *archive) {
			a.entries, a.manifest.Files = a.entries[1:], a.manifest.Files[1:]
		})},
		"another content": {errors.Usage, "is not what was backed up", changed(func(a *archive) { e, _ := a.find("key"); e.data[3] ^= 1 })},
		"another size":    {errors.Usage, "where its manifest names", changed(func(a *archive) { _, f := a.find("packages/"); f.Size++ })},
		"a file less":     {errors.Usage, "which its manifest names", changed(func(a *archive) { a.entries = a.entries[:len(a.entries)-1] })},
		"a file more": {errors.Usage, "more files than its manifest", changed(func(a *archive) {
			a.add("token", "x")
			a.manifest.Files = a.manifest.Files[:len(a.manifest.Files)-1]
		})},
		"a file twice": {errors.Usage, "no backup has", changed(func(a *archive) { a.add("key", "x") })},
		"a symbolic link": {errors.Usage, "where its manifest names", changed(func(a *archive) {
			e, f := a.find("key")
			e.Typeflag, e.Linkname, e.Size, f.Size = tar.TypeSymlink, "/etc/passwd", 0, 0
		})},
		"a hard link": {errors.Usage, "where its manifest names", changed(func(a *archive) {
			e, f := a.find("key")
			e.Typeflag, e.Linkname, e.Size, f.Size = tar.TypeLink, "/etc/passwd", 0, 0
		})},
		"a size that fits no disk": {errors.Usage, "does not fit", changed(func(a *archive) { a.manifest.Files[0].Size = 1 << 60 })},
		"sizes that overflow":      {errors.Usage, "no backup has", changed(func(a *archive) { a.manifest.Files[0].Size = -1 })},
		"a key of many bytes":      {errors.Usage, "no backup has", changed(func(a *archive) { _, f := a.find("key"); f.Size = 1 << 30 })},
	}
	for _, name := range []string{
		"../escaped", "/etc/airlock", "secrets/../../escaped", "packages/content/../../escaped", "dev.env", "restoring", "",
		".", "secrets", "packages/layout/x", "secrets/.json", "airlock.db/x", "airlock.db\n", "packages/content/" + strings.Repeat("AB", 32) + ".nupkg",
	} {
		cases["path "+strconv.Quote(name)] = refusal{errors.Usage, "no backup has", changed(func(a *archive) {
			e := a.add("token", "x")
			e.Name, a.manifest.Files[len(a.manifest.Files)-1].Name = name, name
			if strings.HasSuffix(name, "\n") || name == "" {
				e.Name = "x"
			}
		})}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			place := t.TempDir()
			file := filepath.Join(place, "backup")
			ok(t, os.WriteFile(file, c.data, 0o600))
			for _, dir := range []string{"missing", "empty"} {
				to := filepath.Join(place, dir)
				if dir == "empty" {
					ok(t, os.Mkdir(to, 0o700))
				}
				before := tree(t, place)
				_, err := Restore(t.Context(), file, to)
				if !errors.Has(err, c.code) || !strings.Contains(errors.For(err, "").Message, c.says) {
					t.Errorf("the error is %v, want one with the code %s that says %q", err, c.code, c.says)
				}
				if d := cmp.Diff(before, tree(t, place)); d != "" {
					t.Errorf("something is left or lost (-before +after):\n%s", d)
				}
			}
		})
	}
}

func TestRestoreIntoADirectoryThatIsNotEmpty(t *testing.T) {
	t.Parallel()
	s := newState(t)
	file := filepath.Join(t.TempDir(), "backup")
	_, err := Write(t.Context(), s.dir, file)
	ok(t, err)
	for _, name := range []string{"anything", ".hidden", Restoring} {
		to := t.TempDir()
		ok(t, os.Chmod(to, 0o700))
		ok(t, os.WriteFile(filepath.Join(to, name), nil, 0o600))
		before := tree(t, to)
		if _, err := Restore(t.Context(), file, to); !errors.Has(err, errors.Conflict) {
			t.Errorf("with %s there: %v", name, err)
		}
		if d := cmp.Diff(before, tree(t, to)); d != "" {
			t.Errorf("something has changed (-before +after):\n%s", d)
		}
	}
}

// An end in the middle leaves nothing.
func TestCanceled(t *testing.T) {
	t.Parallel()
	s := newState(t)
	place := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before := tree(t, place)
	if _, err := Write(ctx, s.dir, filepath.Join(place, "backup")); !errors.Is(err, context.Canceled) {
		t.Errorf("Write: %v", err)
	}
	if d := cmp.Diff(before, tree(t, place)); d != "" {
		t.Errorf("Write leaves something:\n%s", d)
	}
	file := filepath.Join(place, "backup")
	_, err := Write(t.Context(), s.dir, file)
	ok(t, err)
	before = tree(t, place)
	if _, err := Restore(ctx, file, filepath.Join(place, "state")); !errors.Is(err, context.Canceled) {
		t.Errorf("Restore: %v", err)
	}
	if d := cmp.Diff(before, tree(t, place)); d != "" {
		t.Errorf("Restore leaves something:\n%s", d)
	}
}
