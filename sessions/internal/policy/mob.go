package policy

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"reflect"
	"slices"
	"strings"
)

// Global permissions hold on every object of a vCenter, and have no API but two forms of the authorization service's
// managed object browser, /invsvc/mob3, which Microsoft.AVS.Management posts. A form has the session's nonce and one
// argument, which is XML of a type that the page shows.

// AuthorizationService is the one object of that browser that is open.
const AuthorizationService = "authorizationService"

// maxGlobal bounds the permissions or principals of one form.
const maxGlobal = 100

type globalPrincipal struct {
	Name  string `xml:"name"`
	Group bool   `xml:"group"`
}

type globalPermission struct {
	Principal globalPrincipal `xml:"principal"`
	Roles     []int32         `xml:"roles"`
	Propagate bool            `xml:"propagate"`
	Version   int64           `xml:"version,omitempty"`
}

type addGlobalAccess struct {
	Permissions []globalPermission `xml:"permissions"`
}

type removeGlobalAccess struct {
	Principals []globalPrincipal `xml:"principals"`
}

// formTypes are the arguments of the methods that are known.
var formTypes = map[string]reflect.Type{
	"AddGlobalAccessControlList": reflect.TypeFor[addGlobalAccess](),
	"RemoveGlobalAccess":         reflect.TypeFor[removeGlobalAccess](),
}

// arguments are the names of the forms' one argument.
var arguments = map[string]string{"AddGlobalAccessControlList": "permissions", "RemoveGlobalAccess": "principals"}

const nonce = "vmware-session-nonce"

// FormMethod is the method that a page of the browser is about, "" for the first page, which lists nothing but the
// service's objects.
func FormMethod(query string) (method string, err error) {
	q, err := url.ParseQuery(query)
	if err != nil || len(q) > 0 && (len(q) != 2 || len(q["moid"]) != 1 || len(q["method"]) != 1) {
		return "", errors.New("its query can be read in several ways, or asks for more than moid and method")
	}
	if len(q) == 0 {
		return "", nil
	}
	method, found := strings.CutPrefix(q.Get("method"), "AuthorizationService.")
	if q.Get("moid") != AuthorizationService || !found || method == "" {
		return "", fmt.Errorf("only methods of %s can be called there", AuthorizationService)
	}
	return method, nil
}

// DecodeForm reads a form that was posted for a method that is known, and writes it anew.
func DecodeForm(method string, body []byte) (args any, anew []byte, err error) {
	form, err := url.ParseQuery(string(body))
	name := arguments[method]
	if err != nil || len(form) != 2 || len(form[nonce]) != 1 || len(form[name]) != 1 {
		return nil, nil, fmt.Errorf("its fields are not one %s and one %s", nonce, name)
	}
	v := reflect.New(formTypes[method])
	if err := strictXML([]byte("<form>"+form.Get(name)+"</form>"), v.Interface()); err != nil {
		return nil, nil, err
	}
	if n := v.Elem().Field(0).Len(); n == 0 || n > maxGlobal {
		return nil, nil, fmt.Errorf("it has %d %s; from 1 to %d are taken", n, name, maxGlobal)
	}
	text, err := xml.Marshal(v.Interface())
	if err != nil {
		return nil, nil, err
	}
	root := v.Elem().Type().Name()
	inner := bytes.TrimSuffix(bytes.TrimPrefix(text, []byte("<"+root+">")), []byte("</"+root+">"))
	form.Set(name, string(inner))
	return v.Interface(), []byte(form.Encode()), nil
}

// strictXML reads elements that are known, each with text or with elements, and nothing else.
func strictXML(b []byte, into any) error {
	if err := xml.Unmarshal(b, into); err != nil {
		return errors.New("its argument is not well-formed XML of the right types")
	}
	d := xml.NewDecoder(bytes.NewReader(b))
	var open []string
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errors.New("its argument is not well-formed XML")
		}
		switch token := token.(type) {
		case xml.StartElement:
			open = append(open, token.Name.Local)
			if len(token.Attr) > 0 || token.Name.Space != "" || !slices.Contains(elements, strings.Join(open[1:], ".")) {
				return fmt.Errorf("its argument has the element %.40q, which Airlock does not know there, or attributes", token.Name.Local)
			}
		case xml.EndElement:
			if open = open[:len(open)-1]; len(open) == 0 && d.InputOffset() != int64(len(b)) {
				return errors.New("its argument ends before its end")
			}
		case xml.CharData:
			if at := strings.Join(open[min(1, len(open)):], "."); slices.Contains(parents, at) && len(bytes.TrimSpace(token)) > 0 {
				return errors.New("its argument has text between its elements")
			}
		default:
			return errors.New("its argument has comments, instructions or a DTD")
		}
	}
}

var (
	parents  = []string{"", "permissions", "permissions.principal", "principals"}
	elements = append(slices.Clone(parents), "permissions.principal.name", "permissions.principal.group", "permissions.roles",
		"permissions.propagate", "permissions.version", "principals.name", "principals.group")
)

// changesGlobalRights says whether a form is about what the group CloudAdmins has everywhere, or gives one that all users
// are in more than its role has.
func changesGlobalRights(p *Policy, args any, f Facts) bool {
	switch call := args.(type) {
	case *addGlobalAccess:
		for _, grant := range call.Permissions {
			if p.isGroup(grant.Principal.Name, f) { // what it has may be overwritten
				return true
			}
			above := func(id int32) bool { return !p.within(privileges(id, f), f) }
			if p.named("everyone", grant.Principal.Name, f) && slices.ContainsFunc(grant.Roles, above) {
				return true
			}
		}
		return false
	case *removeGlobalAccess:
		return slices.ContainsFunc(call.Principals, func(who globalPrincipal) bool { return p.isGroup(who.Name, f) })
	}
	return true
}
