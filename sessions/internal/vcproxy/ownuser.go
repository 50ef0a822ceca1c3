package vcproxy

import (
	"bytes"
	"encoding/xml"
	"io"
	"strings"
)

// changesUser says whether a call of SSO administration could change the user, or could not be read. A script that
// sets the password by which Airlock logs in would have it. It looks for the name in every argument, since each method
// has it elsewhere; a name in another domain counts too.
func changesUser(method string, body []byte, user string) bool {
	method = strings.ToLower(method)
	if strings.HasPrefix(method, "find") || strings.HasPrefix(method, "get") {
		return false
	}
	if strings.Contains(method, "self") { // ResetSelfLocalPersonUserPassword
		return true
	}
	name, d := bareName(user), xml.NewDecoder(bytes.NewReader(body))
	texts := [][]byte{nil} // of the open elements, what is directly in them
	for {
		token, err := d.Token()
		if err != nil {
			return err != io.EOF
		}
		switch t := token.(type) {
		case xml.StartElement:
			texts = append(texts, nil)
		case xml.CharData:
			texts[len(texts)-1] = append(texts[len(texts)-1], t...)
		case xml.EndElement:
			last := len(texts) - 1
			if strings.EqualFold(bareName(string(texts[last])), name) {
				return true
			}
			texts = texts[:last]
		}
	}
}

// bareName is the name of a user without its domain: name, name@domain or DOMAIN\name.
func bareName(user string) string {
	user = user[strings.LastIndexByte(user, '\\')+1:]
	name, _, _ := strings.Cut(user, "@")
	return strings.TrimSpace(name)
}
