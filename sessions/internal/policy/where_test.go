package policy

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// Each argument that a shipped rule looks at is one of a method that it is for; a slip would let all calls pass.
func TestRulesLookAtArgumentsThatThereAre(t *testing.T) {
	t.Parallel()
	listed, err := os.ReadFile("testdata/methods.txt")
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]reflect.Type{}
	for line := range strings.Lines(string(listed)) {
		id, _, _ := strings.Cut(line, ":")
		service, method, _ := strings.Cut(id, "/")
		types[id] = requestType(Service(service), method)
	}
	for method, form := range formTypes {
		types["mob/"+method] = form
	}
	for _, r := range Shipped().rules {
		for _, c := range r.where {
			for _, at := range c.at {
				seen := at[0] == "any"
				for id, of := range types {
					seen = seen || r.soap.has(id) && has(of, at)
				}
				if !seen {
					t.Errorf("rule %s: no method has %v", r.Name, at)
				}
			}
		}
	}
}

// has says whether a type has an argument of that path.
func has(t reflect.Type, at []string) bool {
	if t == nil || len(at) == 0 {
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
		if f.Anonymous && has(f.Type, at) || strings.EqualFold(name, at[0]) && has(f.Type, at[1:]) {
			return true
		}
	}
	return false
}
