package powershell

import (
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Known keeps what was found of a PowerShell for as long as it is there: to look for it takes tens of milliseconds, of each
// execution. The zero value knows nothing.
type Known struct {
	mu      sync.Mutex
	install Install
	changed time.Time // the program
}

// find is Find, where nothing is known any more.
func (k *Known) find(path string) (Install, error) {
	if k == nil {
		return Find(path)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.holds(path) {
		return k.install, nil
	}
	install, err := Find(path)
	if err != nil {
		return install, err
	}
	info, err := os.Stat(install.Path)
	if err == nil {
		k.install, k.changed = install, info.ModTime()
	}
	return install, err
}

// holds says whether the program is the one that is known, and all that it needs is where it was.
func (k *Known) holds(path string) bool {
	real, err := filepath.EvalSymlinks(path)
	if err != nil || real != k.install.Path {
		return false
	}
	info, err := os.Stat(real)
	if err != nil || !info.ModTime().Equal(k.changed) {
		return false
	}
	for _, f := range k.install.Files {
		if _, err := os.Stat(f); err != nil {
			return false
		}
	}
	return true
}
