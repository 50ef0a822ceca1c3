package powershell

import (
	"encoding/base64"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/airlock-run/airlock/executor/internal/psrp/clixml"
	"github.com/airlock-run/airlock/executor/internal/psrp/psrptest"
)

// outputOf is what the pipelines of a recording wrote to Output, nil for $null.
func outputOf(t *testing.T, r psrptest.Recording) (all []*clixml.Value) {
	t.Helper()
	const fragmentHead, messageHead, pipelineOutput = 21, 40, 0x00041004
	var message []byte
	for _, e := range r.Exchange {
		from, to := strings.IndexByte(e.Line, '>'), strings.LastIndexByte(e.Line, '<')
		if e.Dir != "recv" || !strings.HasPrefix(e.Line, "<Data ") || from > to {
			continue
		}
		b, err := base64.StdEncoding.DecodeString(e.Line[from+1 : to])
		if err != nil {
			t.Fatal(r.Name, err)
		}
		for len(b) > 0 {
			n := fragmentHead + int(binary.BigEndian.Uint32(b[17:]))
			message = append(message, b[fragmentHead:n]...)
			isLast := b[16]&2 != 0
			if b = b[n:]; !isLast {
				continue
			}
			if binary.LittleEndian.Uint32(message[4:]) == pipelineOutput {
				var v *clixml.Value
				if len(message) > messageHead {
					if v, err = clixml.Decode(message[messageHead:]); err != nil {
						t.Fatal(r.Name, err)
					}
				}
				all = append(all, v)
			}
			message = nil
		}
	}
	return all
}
