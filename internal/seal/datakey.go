package seal

import (
	"context"
	"encoding/json"
	"io/fs"
	"path/filepath"

	"github.com/airlock-run/airlock/internal/durable"
	"github.com/airlock-run/airlock/internal/errors"
)

// All keys of an installation are derived from its data key, which is random and lies in a file of its own, sealed with
// the master key. A rotation changes the master key and seals the data key anew; nothing else has to be touched, so a
// server that runs meanwhile, and has its data key since its start, does not notice.

// wrapped is what the file holds: the data key, sealed once, or during a rotation with the new and the old master key.
type wrapped struct {
	Version int      `json:"version"`
	Keys    [][]byte `json:"keys"`
}

const wrappedFormat = 1

var dataKeyOf = Associated("data key")

// DataKey opens the data key in the file at path. What has no such file yet gets one: fresh state with a new data key
// and, where that is missing too, a new master key file; state from before there were data keys with its master key as
// the data key. check is asked before anything is made of a key, and may refuse it.
func DataKey(ctx context.Context, path string, m Master, fresh bool, check func(Key) error) (Key, error) {
	if err := durable.PrivateDir(filepath.Dir(path)); err != nil {
		return Key{}, errors.Because(err, errors.Usage, "The state directory cannot be used: %v.", err)
	}
	unlock, err := durable.LockDir(filepath.Dir(path))
	if err != nil {
		return Key{}, err
	}
	defer unlock()
	w, err := readWrapped(path)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return Key{}, err
	}
	master, err := m.loadOrCreate(ctx, fresh && missing)
	if err != nil {
		return Key{}, err
	}
	key := master
	switch {
	case missing && fresh:
		key = NewKey()
	case !missing:
		if key, err = w.open(path, master); err != nil {
			return Key{}, err
		}
	}
	if err := check(key); err != nil {
		return Key{}, err
	}
	if missing {
		err = wrap(path, key, master)
	}
	return key, err
}

// Rotate seals the data key in the file at path with another master key, so that the old one opens it no more. The new
// one is loaded from to; where that is the file from which the old one came, it is made and takes the old one's place.
// A crash in the middle leaves one of the two in use, and the next Rotate ends it.
func Rotate(ctx context.Context, path string, from, to Master) error {
	unlock, err := durable.LockDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer unlock()
	w, err := readWrapped(path)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.Because(err, errors.Usage, "There is no %s yet: start the server once.", path)
	}
	if err != nil {
		return err
	}
	old, err := from.Load(ctx)
	if err != nil {
		return err
	}
	key, err := w.open(path, old)
	if err != nil {
		return err
	}
	if to.File == "" || to.File != from.File {
		next, err := to.Load(ctx)
		if err != nil {
			return err
		}
		return wrap(path, key, next)
	}
	next := NewKey()
	if err := wrap(path, key, next, old); err != nil {
		return err
	}
	if err := durable.WriteFile(to.File, []byte(next.secret.Reveal())); err != nil {
		return errors.Because(err, errors.Usage, "The new master key cannot be written to %s (%v); the old one stays in use.", to.File, err)
	}
	return wrap(path, key, next)
}

// loadOrCreate is Load; a file that is missing is made where that is allowed.
func (m Master) loadOrCreate(ctx context.Context, create bool) (Key, error) {
	if create && m.File != "" {
		return LoadOrCreate(m.File)
	}
	return m.Load(ctx)
}

// wrap writes the data key, sealed with each of the master keys, in one step.
func wrap(path string, key Key, masters ...Key) error {
	w := wrapped{Version: wrappedFormat}
	for _, m := range masters {
		sealed, err := m.Derive("data key").Seal([]byte(key.secret.Reveal()), dataKeyOf)
		if err != nil {
			return err
		}
		w.Keys = append(w.Keys, sealed)
	}
	data, err := json.Marshal(w)
	if err == nil {
		err = durable.WriteFile(path, append(data, '\n'))
	}
	if err != nil {
		return errors.Because(err, errors.Usage, "The data key cannot be stored: %v.", err)
	}
	return nil
}

func readWrapped(path string) (w wrapped, err error) {
	data, err := durable.ReadPrivate(path, 4<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return w, err
	}
	if err == nil {
		err = json.Unmarshal(data, &w)
	}
	if err == nil && (w.Version != wrappedFormat || len(w.Keys) == 0) {
		err = ErrDamaged
	}
	if err != nil {
		return w, errors.Because(err, errors.Usage, "The data key in %s cannot be used (%v): put the file back from a copy.", path, err)
	}
	return w, nil
}

func (w wrapped) open(path string, master Key) (Key, error) {
	var why error
	for _, sealed := range w.Keys {
		plain, err := master.Derive("data key").Open(sealed, dataKeyOf)
		if err == nil && len(plain) == keySize {
			return keyOf(plain), nil
		}
		if why == nil || errors.Is(why, ErrWrongKey) {
			why = err
		}
	}
	if errors.Is(why, ErrWrongKey) {
		return Key{}, errors.Because(why, errors.Usage, "The master key is not the one that the state in %s was made with: start Airlock with the key that it had before.", filepath.Dir(path))
	}
	return Key{}, errors.Because(why, errors.Usage, "The data key in %s is damaged: put the file back from a copy.", path)
}
