package psrp

import (
	"encoding/binary"
	"fmt"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
)

// kind is the type of a message ([MS-PSRP] 2.2.1).
type kind uint32

const (
	sessionCapability      kind = 0x00010002
	initRunspacePool       kind = 0x00010004
	publicKey              kind = 0x00010005
	encryptedSessionKey    kind = 0x00010006
	publicKeyRequest       kind = 0x00010007
	runspacePoolState      kind = 0x00021005
	createPipeline         kind = 0x00021006
	runspaceAvailability   kind = 0x00021007
	applicationPrivateData kind = 0x00021009
	runspacePoolHostCall   kind = 0x00021100
	pipelineOutput         kind = 0x00041004
	errorRecord            kind = 0x00041005
	pipelineState          kind = 0x00041006
	debugRecord            kind = 0x00041007
	verboseRecord          kind = 0x00041008
	warningRecord          kind = 0x00041009
	progressRecord         kind = 0x00041010
	informationRecord      kind = 0x00041011
	pipelineHostCall       kind = 0x00041100
)

const (
	toClient = 1
	toServer = 2
)

// headLength is that of destination, type, and the ids of pool and pipeline.
const headLength = 4 + 4 + 16 + 16

// message is one message, whose value is nil where it carries none.
type message struct {
	kind     kind
	pool     uuid.UUID
	pipeline uuid.UUID
	value    *clixml.Value
}

// encode writes a message to the server.
func (m message) encode() []byte {
	b := make([]byte, headLength)
	binary.LittleEndian.PutUint32(b, toServer)
	binary.LittleEndian.PutUint32(b[4:], uint32(m.kind))
	putGUID(b[8:], m.pool)
	putGUID(b[24:], m.pipeline)
	return append(b, clixml.Encode(m.value)...)
}

// kindOf is the kind of the message that begins with b, 0 where b is too short to say.
func kindOf(b []byte) kind {
	if len(b) < 8 {
		return 0
	}
	return kind(binary.LittleEndian.Uint32(b[4:]))
}

// decodeMessage reads a message to the client. $null as output is a message without content.
func decodeMessage(b []byte) (m message, err error) {
	if len(b) < headLength {
		return m, fmt.Errorf("a message of %d bytes has no head", len(b))
	}
	if to := binary.LittleEndian.Uint32(b); to != toClient {
		return m, fmt.Errorf("a message is for the destination %d", to)
	}
	m.kind, m.pool, m.pipeline = kindOf(b), readGUID(b[8:]), readGUID(b[24:])
	if len(b) > headLength {
		m.value, err = clixml.Decode(b[headLength:])
	}
	return m, err
}
