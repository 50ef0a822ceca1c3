package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/airlock-run/airlock/internal/errors"
)

// maxBody is the most bytes of a request's body.
const maxBody = 128 << 10

// readBody reads the request's body, nil where there is none.
func (r *request) readBody(a *answer) ([]byte, error) {
	data, err := io.ReadAll(http.MaxBytesReader(a.ResponseWriter, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, errors.Newf(errors.RequestEntityTooLarge, "The body is larger than %d KiB, the most that a request may have.", maxBody>>10)
	case err != nil:
		return nil, errors.Because(err, errors.InvalidRequestContent, "The body did not arrive in full within %v; send it again.", bodyPatience)
	}
	_ = a.control.SetReadDeadline(time.Time{}) // it would end a long answer
	return bytes.TrimSpace(data), nil
}

// escapes matches each escape in a JSON value. Its group has those that are half a character: a surrogate of UTF-16
// without the other one (RFC 8259, section 8.2).
var escapes = regexp.MustCompile(`(?i)\\(?:ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|(ud[89a-f][0-9a-f]{2})|.)`)

// readJSON reads a body that is one JSON value, nil where there is none. Text that is not Unicode is refused: a
// decoder would replace it silently, in passwords too.
func (r *request) readJSON(a *answer) (json.RawMessage, error) {
	data, err := r.readBody(a)
	if err != nil || len(data) == 0 {
		return nil, err
	}
	if !utf8.Valid(data) {
		return nil, errors.Newf(errors.InvalidRequestContent, "The body is not UTF-8; JSON must be.")
	}
	var value json.RawMessage
	if err := json.Unmarshal(data, &value); err != nil {
		at := int64(len(data))
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			at = syntax.Offset
		}
		// The decoder's own words could quote a piece of a secret.
		return nil, errors.Newf(errors.InvalidRequestContent, "The body is not one JSON value: see byte %d of %d.", at, len(data))
	}
	for _, at := range escapes.FindAllSubmatchIndex(data, -1) {
		if at[2] >= 0 {
			return nil, errors.Newf(errors.InvalidRequestContent, "The body has half a character at byte %d: a surrogate without its pair.", at[0]+1)
		}
	}
	return value, nil
}

// object is a JSON object with its place in the body, so that errors can name what they mean. Names of members are
// compared without case, as ARM does; null is the same as not there.
type object struct {
	path    string
	members map[string]json.RawMessage
}

// readObject reads a body that is one JSON object.
func (r *request) readObject(a *answer) (object, error) {
	data, err := r.readJSON(a)
	if err != nil {
		return object{}, err
	}
	return asObject("", data)
}

func (o object) at(name string) string { return strings.TrimPrefix(o.path+"."+name, ".") }

func malformed(path, format string, args ...any) *errors.Error {
	subject := path
	if subject == "" {
		subject = "The body"
	}
	return errors.Newf(errors.InvalidRequestContent, "%s %s.", subject, fmt.Sprintf(format, args...)).At(path)
}

// asObject reads a JSON value that has passed readJSON.
func asObject(path string, data json.RawMessage) (object, error) {
	o := object{path, map[string]json.RawMessage{}}
	if kind := kindOf(data); kind != "an object" {
		return o, malformed(path, "must be an object, not %s", kind)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	_, _ = d.Token() // {
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return o, malformed(path, "cannot be read")
		}
		name, _ := token.(string)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return o, malformed(path, "cannot be read")
		}
		key := strings.ToLower(name)
		if _, twice := o.members[key]; twice {
			return o, malformed(path, "has %.60q twice; leave one out", name)
		}
		o.members[key] = value
	}
	return o, nil
}

// get is nil for what is not there or null.
func (o object) get(name string) json.RawMessage {
	if value := o.members[strings.ToLower(name)]; kindOf(value) != "null" {
		return value
	}
	return nil
}

func (o object) object(name string) (object, error) {
	value := o.get(name)
	if value == nil {
		return object{}, malformed(o.at(name), "is missing; it must be an object")
	}
	return asObject(o.at(name), value)
}

func (o object) text(name string) (text string, given bool, err error) {
	value := o.get(name)
	if value == nil {
		return "", false, nil
	}
	if kind := kindOf(value); kind != "a string" {
		return "", false, malformed(o.at(name), "must be a string, not %s", kind)
	}
	err = json.Unmarshal(value, &text)
	return text, true, err
}

// array calls each with the elements of an array and their places.
func (o object) array(name string, each func(path string, element json.RawMessage) error) error {
	value := o.get(name)
	if value == nil {
		return nil
	}
	if kind := kindOf(value); kind != "an array" {
		return malformed(o.at(name), "must be an array, not %s", kind)
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(value, &elements); err != nil {
		return malformed(o.at(name), "cannot be read")
	}
	for i, element := range elements {
		if err := each(fmt.Sprintf("%s[%d]", o.at(name), i), element); err != nil {
			return err
		}
	}
	return nil
}

// kindOf says what a JSON value is, in the words of an error.
func kindOf(value json.RawMessage) string {
	if len(value) == 0 {
		return "nothing"
	}
	switch value[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 'n':
		return "null"
	case 't', 'f':
		return "true or false"
	}
	return "a number"
}
