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
	Pushed   time.Time
	Manifest manifest.Manifest
}

// Ref is the package's name in ARM: Name@1.2.3.
func (p Package) Ref() string { return p.Name + "@" + p.Version }

// PackageRef is what an execution resolved to and keeps.
type PackageRef struct {
	Name    string
	Version string
	Digest  string
}
