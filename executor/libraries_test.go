package executor_test

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

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
type looks struct {
	runtime.Runtime
	given runtime.Prepared
}

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
	h.hold(t, domain.Approved, lock...)
	h.config.Packages = shelves{}
	b := h.start(t, func(e *executor.Executor) {
		e.WrapRuntime(func(r runtime.Runtime) runtime.Runtime {
			seen.Runtime = r
			return &seen
		})
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

// hold puts libraries into the index.
func (h *home) hold(t *testing.T, state domain.ReviewState, libraries ...domain.PackageRef) {
	t.Helper()
	for _, l := range libraries {
		p := domain.Package{Name: l.Name, Version: l.Version, Digest: l.Digest, Pushed: time.Now(), Library: true, Review: domain.Review{State: state, Reason: "It leaks."}}
		if err := h.store.PutPackage(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
}

// Without one of them, or with one that was rejected since, the cmdlet is not started.
func TestALibraryIsGone(t *testing.T) {
	t.Parallel()
	library := domain.PackageRef{Name: "B", Version: "1.0.0", Digest: "bb"}
	for name, c := range map[string]struct {
		state domain.ReviewState
		gone  string
		code  errors.Code
	}{
		"gone":       {domain.Approved, "bb", errors.ServiceUnavailable},
		"rejected":   {domain.Rejected, "", errors.PackageNotAllowed},
		"unreviewed": {domain.Submitted, "", errors.PackageNotAllowed}, // of a -dev version, and the private cloud has no flag
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var seen looks
			h := newHome(t)
			h.hold(t, c.state, library)
			h.config.Packages = shelves{c.gone}
			b := h.start(t, func(e *executor.Executor) {
				e.WrapRuntime(func(r runtime.Runtime) runtime.Runtime {
					seen.Runtime = r
					return &seen
				})
			})
			x := execution(1, "x", "Set-Secrets")
			x.Lock = []domain.PackageRef{library}
			wantFailed(t, b.run(x), c.code)
			if seen.given.Execution.ID != "" {
				t.Error("the cmdlet was started")
			}
		})
	}
}

// A package that was rejected while its execution waited does not run.
func TestAPackageIsWithdrawn(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	if _, err := h.store.DecidePackage(t.Context(), domain.Decision{Digest: digest, Review: domain.Review{State: domain.Rejected, Time: time.Now(), Reason: "It leaks."}}); err != nil {
		t.Fatal(err)
	}
	x := h.start(t).run(execution(1, "x", "Set-Secrets"))
	wantFailed(t, x, errors.PackageNotAllowed)
	if !strings.Contains(x.Failure.Message, "Torture@1.0.0 was rejected while the execution waited: It leaks.") {
		t.Error(x.Failure.Message)
	}
}
