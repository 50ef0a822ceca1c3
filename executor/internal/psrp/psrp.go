// Package psrp is the client of PowerShell's remoting protocol over a process's standard input and output: what Airlock
// says to `pwsh -s -NoLogo -NoProfile`, and hears from it. See [MS-PSRP] for messages and their content, and PowerShell's
// OutOfProcTransportManager for the lines that carry them.
//
// The layers, from the outside: lines (line.go), fragments of messages (fragment.go), messages (message.go), values
// (clixml), and on top a pool of one runspace in which pipelines run one after the other (client.go, pipeline.go, run.go).
//
// The other end is a process in which a script runs, so nothing that it sends is believed further than it concerns the
// script itself: lines, messages and values are bounded, what does not follow the protocol is told of and passed over, and
// a pipeline has succeeded only when a state that is terminal came after it was sent.
//
// The client declares no host. PowerShell then fails each prompt at once, and tells of an exit by a host call all the same.
//
// The pool is not closed: a process is for one conversation, and killed after it, which is faster and asks it for nothing.
package psrp

import "github.com/google/uuid"

// GUIDs are written as .NET has them in memory: the first three fields little-endian.
func putGUID(b []byte, id uuid.UUID) {
	copy(b, id[:])
	swapGUID(b)
}

func readGUID(b []byte) (id uuid.UUID) {
	copy(id[:], b)
	swapGUID(id[:])
	return id
}

func swapGUID(b []byte) {
	b[0], b[1], b[2], b[3] = b[3], b[2], b[1], b[0]
	b[4], b[5] = b[5], b[4]
	b[6], b[7] = b[7], b[6]
}
