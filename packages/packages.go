// Package packages is the repository of script packages.
//
// A package comes as a .nupkg. It is pushed once: what it declares is read from its airlock.json, checked, and kept
// under the SHA-256 of the .nupkg, with its files laid out read-only beside it. Nothing of a package is ever run to
// learn what it is. Pack makes such a .nupkg, of the Go source of a package or of what is built already.
//
// A version is Submitted when it is pushed, and runs once somebody other than the pusher has approved it; one of the dev ring
// is never reviewed, and runs where a private cloud takes such code. What a version depends on is found when it is approved
// (of the dev ring, pushed), and pinned: an execution uses that.
//
// Versions are NuGet's ("Package versioning", learn.microsoft.com/nuget/concepts/package-versioning): two to four
// numbers and perhaps a label, which names the version's ring.
package packages

import (
	"context"
	"syscall"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// Index is what the repository needs of the store: which versions there are.
type Index interface {
	// PutPackage adds a version. The same digest again is a success, another one errors.Conflict.
	PutPackage(ctx context.Context, p domain.Package) error
	// Packages returns the versions of a package, whose name is compared without case, or with "" all.
	Packages(ctx context.Context, name string) ([]domain.Package, error)
	// PackageByDigest returns the version with the digest, or errors.ResourceNotFound.
	PackageByDigest(ctx context.Context, digest string) (domain.Package, error)
	// DecidePackage enters a decision, which is a Conflict where another one was faster, and AuthorizationFailed where
	// who decides could be who pushed.
	DecidePackage(ctx context.Context, d domain.Decision) (domain.Package, error)
}

// invalid is the error for a package that nobody can use as it is.
func invalid(err error) error {
	return errors.Because(err, errors.InvalidPackage, "The package cannot be used: %v.", err)
}

// unavailable is the error for a repository that cannot do its work now.
func unavailable(err error) error {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return errors.Because(err, errors.ServiceUnavailable, "The disk of the package repository is full. Make room and try again.")
	}
	return errors.Because(err, errors.ServiceUnavailable, "The package repository cannot read or write its files. The server's log says why.")
}
