// Package library is no program, but has declarations that one uses.
package library

import "github.com/airlock-run/airlock/sdk"

// Noun is one of a cmdlet.
const Noun = "Third"

// SecureText is another name of a secure string.
type SecureText = sdk.SecureString

// Parameters are those of a cmdlet.
type Parameters struct {
	Host string `description:"which host"`
}
