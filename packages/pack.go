package packages

import (
	"context"

	"github.com/airlock-run/airlock/sdk/manifest"
)

// PackOptions are the choices of Pack.
type PackOptions struct {
	Platforms []string          // such as linux/amd64 and linux/arm64; none means the one that this program runs on
	Progress  func(what string) // is told what begins, in a few words; may be nil
}

// Packed is what Pack made.
type Packed struct {
	Path     string // of the .nupkg
	Digest   string // SHA-256 of the .nupkg, lower-case hex
	Manifest manifest.Manifest
}

// Pack makes the .nupkg of a package.
func Pack(ctx context.Context, dir, out string, o PackOptions) (Packed, error) {
	panic("soon")
}
