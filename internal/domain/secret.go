package domain

import "time"

// PersistentSecret is what is known of a package's persistent secret beside its value.
type PersistentSecret struct {
	Name    string    // in the case in which it was stored first
	Version string    // the package's version that wrote it last; "" where that was none
	Changed time.Time // when it was written last, in UTC; zero where that is not known
}
