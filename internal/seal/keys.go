package seal

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/airlock-run/airlock/internal/durable"
	"github.com/airlock-run/airlock/internal/errors"
)

// Keys keeps a key for each execution that needs one, in a file of its own, until the execution has ended. What was
// sealed with a key that is destroyed opens no more, whatever copies of it a database has left in its file, and whoever
// has the master key.
//
// A file is overwritten before it is removed. A file system that writes elsewhere (copy on write, a log, a solid-state
// disk) can still have the old bytes; they are themselves sealed with a key derived from the data key.
type Keys struct {
	dir  string
	seal Key
}

var keyID = regexp.MustCompile(`^[0-9a-zA-Z][0-9a-zA-Z-]{0,63}$`)

// OpenKeys opens the directory, which it makes where it is missing. The key must be for this purpose only.
func OpenKeys(dir string, k Key) (*Keys, error) {
	err := durable.PrivateDir(dir)
	if err == nil {
		err = durable.RemoveTemporary(dir)
	}
	if err != nil {
		return nil, errors.Because(err, errors.Usage, "The directory of the executions' keys cannot be used: %v.", err)
	}
	return &Keys{dir, k}, nil
}

// Make returns the key of the execution, which it makes at the first time.
func (k *Keys) Make(id string) (Key, error) {
	key := NewKey()
	sealed, err := k.seal.Seal([]byte(key.secret.Reveal()), keyFor(id))
	if err != nil {
		return Key{}, err
	}
	if !keyID.MatchString(id) {
		return Key{}, errors.New("seal: not the id of an execution")
	}
	err = durable.CreateFile(k.path(id), sealed)
	if errors.Is(err, fs.ErrExist) {
		return k.Get(id)
	}
	return key, err
}

// Get returns the key of the execution. Where there is none, or none any more, the error is fs.ErrNotExist.
func (k *Keys) Get(id string) (Key, error) {
	if !keyID.MatchString(id) {
		return Key{}, fs.ErrNotExist
	}
	sealed, err := durable.ReadPrivate(k.path(id), 1<<10)
	if err != nil {
		return Key{}, err
	}
	plain, err := k.seal.Open(sealed, keyFor(id))
	if err == nil && len(plain) != keySize {
		err = ErrDamaged
	}
	return keyOf(plain), err
}

// Destroy destroys the key of the execution; one that is not there is destroyed.
func (k *Keys) Destroy(id string) error {
	if !keyID.MatchString(id) {
		return nil
	}
	f, err := os.OpenFile(k.path(id), os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, overhead+keySize), 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), os.Remove(k.path(id)), durable.SyncDir(k.dir))
}

// Sweep destroys the keys of those executions that need none any more.
func (k *Keys) Sweep(needed func(id string) (bool, error)) error {
	entries, err := os.ReadDir(k.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !keyID.MatchString(e.Name()) {
			continue
		}
		keep, err := needed(e.Name())
		if err == nil && !keep {
			err = k.Destroy(e.Name())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (k *Keys) path(id string) string { return filepath.Join(k.dir, id) }

func keyFor(id string) []byte { return Associated("key of an execution", id) }
