package executor_test

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"github.com/airlock-run/airlock/executor"
	"github.com/airlock-run/airlock/executor/internal/runtime"
	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// shelves is a repository in which each package lies in a directory named as its digest, but for those that are gone.
type shelves struct{ gone string }

func (s shelves) Layout(_ context.Context, digest string) (string, error) {
	if digest == s.gone {
		return "", errors.Newf(errors.ServiceUnavailable, "The content of the package is gone.")
	}
	return filepath.Join("/laid", digest), nil
}

// looks is a runtime that keeps what it was given.
type looks struct{ given runtime.Prepared }

func (l *looks) Run(_ context.Context, p runtime.Prepared, _ <-chan struct{}, h runtime.Host) runtime.End {
	l.given = p
	return runtime.End{Err: h.Started()}
}

// A runtime gets the directory of each package of the lock that the execution was submitted with.
func TestLibraries(t *testing.T) {
	t.Parallel()
	lock := []domain.PackageRef{{Name: "A", Version: "1.0.0", Digest: "aa"}, {Name: "B", Version: "13.3.0.24145081", Digest: "bb"}}
	var seen looks
	h := newHome(t)
	h.config.Packages = shelves{}
	b := h.start(t, func(e *executor.Executor) {
		e.WrapRuntime(func(runtime.Runtime) runtime.Runtime { return &seen })
	})
	x := execution(1, "x", "Set-Secrets")
	x.Lock = lock
	if x = b.run(x); x.State != domain.Succeeded || !slices.Equal(x.Lock, lock) {
		t.Fatalf("%s %+v, with the lock %v", x.State, x.Failure, x.Lock)
	}
	want := []runtime.Library{{PackageRef: lock[0], Dir: "/laid/aa"}, {PackageRef: lock[1], Dir: "/laid/bb"}}
	if !slices.Equal(seen.given.Libraries, want) || seen.given.Package != "/laid/"+digest {
		t.Errorf("it was given %q with %v", seen.given.Package, seen.given.Libraries)
	}
}

// Without one of them the cmdlet is not started.
func TestALibraryIsGone(t *testing.T) {
	t.Parallel()
	var seen looks
	h := newHome(t)
	h.config.Packages = shelves{gone: "bb"}
	b := h.start(t, func(e *executor.Executor) {
		e.WrapRuntime(func(runtime.Runtime) runtime.Runtime { return &seen })
	})
	x := execution(1, "x", "Set-Secrets")
	x.Lock = []domain.PackageRef{{Name: "B", Version: "1.0.0", Digest: "bb"}}
	wantFailed(t, b.run(x), errors.ServiceUnavailable)
	if seen.given.Execution.ID != "" {
		t.Error("the cmdlet was started")
	}
}
