package domain

import (
	"time"

	"github.com/airlock-run/airlock/sdk/manifest"
)

// Package is one version of a script package as the repository holds it.
type Package struct {
	Name     string // in the case of its first push; compared without case
	Version  string // normalised as NuGet does: 1.5 is 1.5.0
	Digest   string // SHA-256 of the .nupkg, lower-case hex
	Size     int64  // of the .nupkg, in bytes
	Pushed   time.Time
	PushedBy Principal // nobody for what the server itself was started with
	Promotes string    // the version with a label whose files these are; "" for none
	Library  bool      // without cmdlets of its own: what other packages depend on
	Spec     Spec
	Manifest manifest.Manifest // of a library, without cmdlets
	Findings []ReviewFinding   // of the analysis at its push
	Review   Review
	Lock     []PackageRef // what it was found to depend on, when it was approved (-dev: pushed), by name
}

// Spec is what a package's nuspec says for people and for what installs it.
type Spec struct {
	Authors, Description, ProjectURL string
	Tags                             []string
	Dependencies                     []Dependency
}

// Dependency is a package that another one needs.
type Dependency struct {
	ID    string
	Range string // as NuGet writes it: 1.0 (at least), [1.0], [1.0,2.0), "" for any
}

// Ref is the package's name in ARM: Name@1.2.3.
func (p Package) Ref() string { return p.Name + "@" + p.Version }

// Pin names the version with its content.
func (p Package) Pin() PackageRef {
	return PackageRef{Name: p.Name, Version: p.Version, Digest: p.Digest}
}

// PackageRef is a version of a package with its content: what an execution resolved to and keeps.
type PackageRef struct {
	Name    string
	Version string
	Digest  string
}

// String is the name in ARM: Name@1.2.3.
func (p PackageRef) String() string { return p.Name + "@" + p.Version }
