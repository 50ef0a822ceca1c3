package psrptest

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
)

// line is one element of the transport.
type line struct {
	verb string
	id   uuid.UUID // of the pipeline; zero for the pool
	data []byte    // of Data
}

func (l line) encode() []byte {
	if l.verb == "Data" {
		return fmt.Appendf(nil, "<Data Stream='Default' PSGuid='%s'>%s</Data>\n", l.id, base64.StdEncoding.EncodeToString(l.data))
	}
	return fmt.Appendf(nil, "<%s PSGuid='%s' />\n", l.verb, l.id)
}

// parseLine reads a line, from which end it may come. What is none ends a real pwsh, too.
func parseLine(raw string) (l line, err error) {
	var e struct {
		XMLName xml.Name
		ID      string `xml:"PSGuid,attr"`
		Data    string `xml:",chardata"`
	}
	if err := xml.Unmarshal([]byte(raw), &e); err != nil {
		return l, fmt.Errorf("psrptest: %.100q: %w", raw, err)
	}
	l.verb = e.XMLName.Local
	if l.id, err = uuid.Parse(e.ID); err != nil {
		return l, fmt.Errorf("psrptest: %.100q: %w", raw, err)
	}
	l.data, err = base64.StdEncoding.DecodeString(e.Data)
	return l, err
}

// kind is the type of a message ([MS-PSRP] 2.2.1).
type kind uint32

const (
	sessionCapability      kind = 0x00010002
	initRunspacePool       kind = 0x00010004
	publicKey              kind = 0x00010005
	encryptedSessionKey    kind = 0x00010006
	runspacePoolState      kind = 0x00021005
	createPipeline         kind = 0x00021006
	applicationPrivateData kind = 0x00021009
	pipelineOutput         kind = 0x00041004
	errorRecord            kind = 0x00041005
	pipelineState          kind = 0x00041006
	debugRecord            kind = 0x00041007
	verboseRecord          kind = 0x00041008
	warningRecord          kind = 0x00041009
	progressRecord         kind = 0x00041010
	informationRecord      kind = 0x00041011
	pipelineHostCall       kind = 0x00041100
	pipelineHostResponse   kind = 0x00041101
)

// Lengths of heads: of a fragment object id, fragment id, flags and length; of a message destination, kind and ids.
const (
	fragmentHead = 8 + 8 + 1 + 4
	messageHead  = 4 + 4 + 16 + 16
	mostBlob     = 32<<10 - fragmentHead
)

type message struct {
	kind           kind
	pool, pipeline uuid.UUID
	value          *clixml.Value // nil for $null as output
}

// encode writes a message to the client, with the mark before the value that pwsh writes.
func (m message) encode() []byte {
	b := binary.LittleEndian.AppendUint32(nil, 1)
	b = binary.LittleEndian.AppendUint32(b, uint32(m.kind))
	b = append(append(b, guid(m.pool)...), guid(m.pipeline)...)
	if m.value == nil {
		return b
	}
	return append(append(b, "\ufeff"...), clixml.Encode(m.value)...)
}

func decodeMessage(b []byte) (m message, err error) {
	if len(b) < messageHead {
		return m, fmt.Errorf("psrptest: a message of %d bytes", len(b))
	}
	m.kind = kind(binary.LittleEndian.Uint32(b[4:]))
	copy(m.pool[:], b[8:])
	copy(m.pipeline[:], b[24:])
	m.pool, m.pipeline = uuid.UUID(guid(m.pool)), uuid.UUID(guid(m.pipeline))
	if len(b) > messageHead {
		m.value, err = clixml.Decode(b[messageHead:])
	}
	return m, err
}

// guid turns an id into the form that it has in .NET's memory, or back: its first three fields are little-endian.
func guid(id uuid.UUID) []byte {
	for _, field := range [][]byte{id[:4], id[4:6], id[6:8]} {
		slices.Reverse(field)
	}
	return id[:]
}

func fragments(object uint64, b []byte) (all [][]byte) {
	for id := uint64(0); id == 0 || len(b) > 0; id++ {
		n := min(len(b), mostBlob)
		flags := byte(0)
		if id == 0 {
			flags |= 1
		}
		if n == len(b) {
			flags |= 2
		}
		f := binary.BigEndian.AppendUint64(nil, object)
		f = append(binary.BigEndian.AppendUint64(f, id), flags)
		f = binary.BigEndian.AppendUint32(f, uint32(n))
		all = append(all, append(f, b[:n]...))
		b = b[n:]
	}
	return all
}

// joiner puts messages together.
type joiner struct {
	next uint64 // fragment of the message that is not whole
	b    []byte
}

func (j *joiner) add(b []byte, done func(message) error) error {
	for len(b) > 0 {
		if len(b) < fragmentHead {
			return errors.New("psrptest: a fragment ends in its head")
		}
		id, flags, n := binary.BigEndian.Uint64(b[8:]), b[16], int(binary.BigEndian.Uint32(b[17:]))
		b = b[fragmentHead:]
		if id != j.next || flags&1 != 0 != (id == 0) || n > len(b) {
			return fmt.Errorf("psrptest: fragment %d with flags %d of %d bytes comes where %d was to come", id, flags, n, j.next)
		}
		j.b, b = append(j.b, b[:n]...), b[n:]
		if j.next++; flags&2 == 0 {
			continue
		}
		m, err := decodeMessage(j.b)
		*j = joiner{}
		if err == nil {
			err = done(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
