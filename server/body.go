package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/nearest"
)

// maxBody is the most bytes of a request's body that is JSON.
const maxBody = 128 << 10

// readBody reads the request's body of at most so many bytes, nil where there is none.
func (r *request) readBody(a *answer, most int64) ([]byte, error) {
	data, err := io.ReadAll(http.MaxBytesReader(a.ResponseWriter, r.Body, most))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, errors.Newf(errors.RequestEntityTooLarge, "The body is larger than %d KiB, the most that a request may have.", most>>10)
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
	data, err := r.readBody(a, maxBody)
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

// readProperties reads the properties of a body that is a resource.
func (r *request) readProperties(a *answer) (object, error) {
	body, err := r.readObject(a)
	if err != nil {
		return object{}, err
	}
	return body.object("properties")
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

// optional is the object under a name, an empty one where there is none.
func (o object) optional(name string) (member object, given bool, err error) {
	value := o.get(name)
	if value == nil {
		return object{path: o.at(name)}, false, nil
	}
	member, err = asObject(o.at(name), value)
	return member, true, err
}

// maxLabel is the most bytes of a short text.
const maxLabel = 8 << 10

// label reads a short text of one line, if it is there.
func (o object) label(name string, to *string) error {
	text, given, err := o.text(name)
	if err != nil || !given {
		return err
	}
	if len(text) > maxLabel || strings.ContainsFunc(text, unicode.IsControl) {
		return malformed(o.at(name), "must be one line of at most %d bytes", maxLabel)
	}
	*to = text
	return nil
}

// boolean reads true or false, if it is there.
func (o object) boolean(name string, to *bool) error {
	value := o.get(name)
	if value == nil {
		return nil
	}
	if kind := kindOf(value); kind != "true or false" {
		return malformed(o.at(name), "must be true or false, not %s", kind)
	}
	return json.Unmarshal(value, to)
}

// number reads a whole number from 0 to most, if it is there.
func (o object) number(name string, most int, to *int) error {
	value := o.get(name)
	if value == nil {
		return nil
	}
	n, err := strconv.Atoi(string(value))
	if err != nil || n < 0 || n > most {
		return malformed(o.at(name), "must be a whole number from 0 to %d", most)
	}
	*to = n
	return nil
}

// only refuses members of other names than these.
func (o object) only(known ...string) error {
	for _, name := range slices.Sorted(maps.Keys(o.members)) { // of two that are wrong always the same one is told
		if slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, name) }) {
			continue
		}
		if near := nearest.Of(name, known); near != "" {
			return malformed(o.path, "has no field %.60q; the nearest is %s", name, near).At(o.at(name))
		}
		return malformed(o.path, "has no field %.60q; there are %s", name, strings.Join(known, ", ")).At(o.at(name))
	}
	return nil
}

// decode reads the members into the fields of a struct.
func (o object) decode(to any) error {
	data, err := json.Marshal(o.members)
	if err != nil {
		return err
	}
	err = json.Unmarshal(data, to)
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		return malformed(o.at(strings.TrimPrefix(wrong.Field, "Connection.")), "must be %s, not %s", wanted(wrong.Type), wrong.Value)
	}
	if err != nil {
		return malformed(o.path, "cannot be read")
	}
	return nil
}

// wanted says what a JSON value must be to be read as the type.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Slice:
		return "an array"
	}
	return "an object"
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
