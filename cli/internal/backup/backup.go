// Package backup writes the state of an installation into one file, beside the server that uses it, and restores such a
// file into an empty directory.
//
// The file is a tar archive under gzip. Its first entry is manifest.json, which says who wrote it, the schema of the
// database, and of each entry after it the name, the size and the SHA-256. The entries follow in the manifest's order,
// under the names that they have in the state directory: the database, the master key where it lies there, persistent
// secrets (sealed), packages as they were pushed. Audit log and work directories are not in it. Whoever has the file has
// the key in it, and so all secrets.
//
// # Database and secrets agree
//
// An execution that changes secrets stores the sealed intent in the database, then writes the secrets, then stores its
// end; a start rolls forward what has an intent and no end (executor/end.go). So two copies agree if the database has the
// intent of every change that the secrets show, and the end of no change that they lack. Both hold where the secrets stay
// as they are from before they are copied until the moment that the database is copied as of: what they show was written
// after its intent was stored, and what they lack is not written yet, so its end is not stored either. Write therefore
// looks at the secrets, copies them, and looks again once the database's moment has come, before the copying of it, which
// may take long. Where they have changed it begins anew, a bounded number of times.
//
// The same holds for the keys of executions, without which an intent cannot be opened: one is made before something that
// was sealed with it is stored, and destroyed after the execution's end is. A backup that lacked the key of an intent would
// restore an execution that has Failed and changed secrets all the same.
package backup

import (
	"regexp"
	"time"
)

// The names in a state directory. What is not here is not in a backup.
const (
	database   = "airlock.db"
	secretsDir = "secrets"
	contentDir = "packages/content"
	keysDir    = "keys" // of executions that have not ended
)

// single are the files of a state directory that may be there: the master key, the data key and its check, the bearer
// token of serve --dev, the certificate that a server has made for itself.
var single = []string{"key", "key.sealed", "key.check", "token", "server.pem"}

// kind is a kind of file in a backup.
type kind struct {
	form *regexp.Regexp
	max  int64 // bytes; 0 for what only the disk bounds
}

var kinds = []kind{
	{regexp.MustCompile(`^airlock\.db$`), 0},
	{regexp.MustCompile(`^(key|key\.sealed|key\.check|token|server\.pem)$`), 64 << 10},
	{regexp.MustCompile(`^secrets/[a-z0-9_][a-z0-9_.-]{0,99}\.[0-9a-f]{64}\.json$`), 64 << 20},
	{regexp.MustCompile(`^keys/[0-9a-f-]{1,64}$`), 1 << 10},
	{regexp.MustCompile(`^packages/content/[0-9a-f]{64}\.nupkg$`), 4 << 30},
}

// allowed says whether a backup may hold a file of this name and size.
func allowed(name string, size int64) bool {
	for _, k := range kinds {
		if k.form.MatchString(name) {
			return size >= 0 && (k.max == 0 || size <= k.max)
		}
	}
	return false
}

// format is the version of the form of a backup. A form that this version could not restore has a higher one.
const format = 1

const manifestName = "manifest.json"

// maxManifest bounds manifest.json: some 100,000 files.
const maxManifest = 32 << 20

// Manifest says what is in a backup.
type Manifest struct {
	Format  int       `json:"format"`
	Version string    `json:"version"` // of the Airlock that wrote it
	Created time.Time `json:"created"`
	Schema  int       `json:"schema"` // of the database
	Files   []File    `json:"files"`
}

// File is one file of a backup, by its name in the state directory.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

// Size is the sum of the files, in bytes.
func (m Manifest) Size() (sum int64) {
	for _, f := range m.Files {
		sum += f.Size
	}
	return sum
}

// Has says whether a file is in the backup.
func (m Manifest) Has(name string) bool {
	for _, f := range m.Files {
		if f.Name == name {
			return true
		}
	}
	return false
}
