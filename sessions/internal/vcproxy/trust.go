package vcproxy

import (
	"bytes"
	"encoding/xml"
	"io"
	"net/url"
	"strings"
)

// maxRegistrations bounds the answers of the lookup service in which certificates are replaced: a vCenter has some
// sixty services, with a few endpoints and certificates each, and fifteen vCenters can be linked.
const maxRegistrations = 8 << 20

// retrust puts the certificate, in base64 of DER, in the place of each that an answer of the lookup service has (sslTrust)
// for endpoints on the host, since clients pin these. An answer that cannot be read comes back as it is.
func retrust(answer []byte, host, certificate string) []byte {
	var (
		d        = xml.NewDecoder(bytes.NewReader(answer))
		out      bytes.Buffer
		at       int // in answer, up to where out has it
		depth    int
		endpoint int // depth of the endpoint's children, 0 outside of one
		address  string
		trusts   [][2]int // in the endpoint
		from     int      // of the element that was opened last
	)
	for {
		before := int(d.InputOffset())
		t, err := d.Token()
		if err == io.EOF {
			return append(out.Bytes(), answer[at:]...)
		} else if err != nil {
			return answer
		}
		switch t := t.(type) {
		case xml.StartElement:
			depth++
			from = int(d.InputOffset())
			if t.Name.Local == "serviceEndpoints" && endpoint == 0 {
				endpoint, address, trusts = depth+1, "", nil
			}
		case xml.EndElement:
			switch {
			case depth == endpoint && t.Name.Local == "url":
				address = string(answer[from:before])
			case depth == endpoint && t.Name.Local == "sslTrust" && from < before:
				trusts = append(trusts, [2]int{from, before})
			case depth == endpoint-1:
				if u, err := url.Parse(strings.TrimSpace(address)); err == nil && strings.EqualFold(u.Hostname(), host) {
					for _, span := range trusts {
						out.Write(answer[at:span[0]])
						out.WriteString(certificate)
						at = span[1]
					}
				}
				endpoint = 0
			}
			depth--
		}
	}
}
