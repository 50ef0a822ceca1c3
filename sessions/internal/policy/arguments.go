package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	_ "github.com/vmware/govmomi/eam/types" // known is what is registered
	_ "github.com/vmware/govmomi/lookup/types"
	_ "github.com/vmware/govmomi/pbm/types"
	_ "github.com/vmware/govmomi/sms/types"
	_ "github.com/vmware/govmomi/ssoadmin/types"
	vim "github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"
	_ "github.com/vmware/govmomi/vslm/types"
)

var typeOf = vim.TypeFunc()

// executeSoap is the call by which esxcli goes through a vCenter to a host; govmomi keeps its own to itself.
type executeSoap struct {
	This     vim.ManagedObjectReference `xml:"_this"`
	Moid     string                     `xml:"moid"`
	Version  string                     `xml:"version"`
	Method   string                     `xml:"method"`
	Argument []struct {
		Name string `xml:"name"`
		Val  string `xml:"val"`
	} `xml:"argument,omitempty"`
}

// known says whether govmomi knows the method.
func known(s Service, method string) bool { return requestType(s, method) != nil }

// requestType is the type of a method's arguments, nil for one that is not known.
func requestType(s Service, method string) reflect.Type {
	if s == Vim && method == "ExecuteSoap" {
		return reflect.TypeFor[executeSoap]()
	}
	if s == MOB {
		return formTypes[method]
	}
	name := method
	if s != Vim {
		name = string(s) + ":" + method
	}
	t, found := typeOf(name)
	if !found || t.Kind() != reflect.Struct || strings.HasSuffix(method, "RequestType") || strings.Contains(method, ":") {
		return nil
	}
	if this, ok := t.FieldByName("This"); !ok || this.Tag.Get("xml") != "_this" {
		return nil
	}
	return t
}

// Decode reads the arguments of a call as govmomi has them: a pointer to its type for the method. body is the whole
// envelope, of which envelope.Scan has found the form right. A call with arguments that govmomi does not know, or that
// has one of them twice, is an error: what is not judged must not be lost on the way either.
func Decode(s Service, method string, body []byte) (any, error) {
	args, err := decode(s, method, body)
	if err != nil {
		return nil, err
	}
	anew, err := Encode(s, method, args, nil)
	if err != nil {
		return nil, err
	}
	if texts(anew) < texts(body) {
		return nil, errors.New("it has arguments that Airlock does not know, or one of them twice")
	}
	return args, nil
}

// texts counts the texts in the Body of an envelope that say something.
func texts(body []byte) (n int) {
	d := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\ufeff"))))
	depth, inBody := 0, false
	for {
		token, err := d.Token()
		if err != nil {
			return n
		}
		switch token := token.(type) {
		case xml.StartElement:
			depth++
			inBody = inBody || depth == 2 && token.Name.Local == "Body"
		case xml.EndElement:
			depth--
		case xml.CharData:
			switch string(bytes.TrimSpace(token)) {
			case "", "0", "false": // may be left out
			default:
				if inBody {
					n++
				}
			}
		}
	}
}

func decode(s Service, method string, body []byte) (args any, err error) {
	defer func() { // govmomi's decoder panics at some types that it does not know
		if p := recover(); p != nil {
			args, err = nil, errors.New("it has arguments of types that Airlock does not know")
		}
	}()
	t := requestType(s, method)
	if t == nil {
		return nil, errors.New("its arguments are not known")
	}
	d := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\ufeff"))))
	d.TypeFunc = typeOf
	for depth, inBody := 0, false; ; {
		token, err := d.Token()
		if err == io.EOF {
			return nil, errors.New("it has no call")
		}
		if err != nil {
			return nil, errors.New("it is not well-formed XML")
		}
		switch token := token.(type) {
		case xml.StartElement:
			if inBody {
				if token.Name.Local != method {
					return nil, errors.New("its method can be read in several ways")
				}
				v := reflect.New(t)
				if err := d.DecodeElement(v.Interface(), &token); err != nil {
					return nil, fmt.Errorf("its arguments are not those of %s", method)
				}
				return v.Interface(), nil
			}
			depth++
			inBody = depth == 2 && token.Name.Local == "Body"
		case xml.EndElement:
			depth--
		}
	}
}

// Encode writes a call that Decode has read: a whole envelope, with the session in its header where sessions has one.
func Encode(s Service, method string, args any, sessions []string) (body []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			body, err = nil, errors.New("its arguments cannot be written")
		}
	}()
	var b bytes.Buffer
	b.WriteString(xml.Header + `<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/">`)
	if len(sessions) > 0 {
		b.WriteString(`<soapenv:Header>`)
		for _, session := range sessions {
			b.WriteString(`<vcSessionCookie>`)
			if err := xml.EscapeText(&b, []byte(session)); err != nil {
				return nil, err
			}
			b.WriteString(`</vcSessionCookie>`)
		}
		b.WriteString(`</soapenv:Header>`)
	}
	b.WriteString(`<soapenv:Body>`)
	name := xml.Name{Space: s.Namespace(), Local: method}
	if err := xml.NewEncoder(&b).EncodeElement(args, xml.StartElement{Name: name}); err != nil {
		return nil, errors.New("its arguments cannot be written")
	}
	b.WriteString(`</soapenv:Body></soapenv:Envelope>`)
	return b.Bytes(), nil
}

// found says whether a text below v is what is looked for: one at the path of XML names, or "any" of them all.
func found(v reflect.Value, at []string, is func(string) bool) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return !v.IsNil() && found(v.Elem(), at, is)
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if found(v.Index(i), at, is) {
				return true
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("xml"), ",")
			switch {
			case !f.IsExported():
			case f.Anonymous, at[0] == "any":
				if found(v.Field(i), at, is) {
					return true
				}
			case strings.EqualFold(name, at[0]):
				rest := at[1:]
				if len(rest) == 0 {
					rest = []string{"any"}
				}
				if found(v.Field(i), rest, is) {
					return true
				}
			}
		}
	case reflect.String:
		return at[0] == "any" && v.String() != "" && is(v.String())
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Float32, reflect.Float64:
		return at[0] == "any" && is(fmt.Sprint(v.Interface()))
	}
	return false
}

// hasArgument says whether there can be a text at the path, as found looks for it, in a value of the type.
func hasArgument(t reflect.Type, at []string) bool {
	if t == nil || len(at) == 0 || at[0] == "any" {
		return t != nil
	}
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() == reflect.Interface {
		return true
	}
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("xml"), ",")
		if f.Anonymous && hasArgument(f.Type, at) || strings.EqualFold(name, at[0]) && hasArgument(f.Type, at[1:]) {
			return true
		}
	}
	return false
}

// holds says whether there is a value of one of the types below v.
func holds(v reflect.Value, types []string) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return !v.IsNil() && holds(v.Elem(), types)
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if holds(v.Index(i), types) {
				return true
			}
		}
	case reflect.Struct:
		if slices.ContainsFunc(types, func(t string) bool { return strings.EqualFold(t, v.Type().Name()) }) {
			return true
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && holds(v.Field(i), types) {
				return true
			}
		}
	}
	return false
}
