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
				seen := false
				for id, of := range types {
					seen = seen || r.soap.has(id) && hasArgument(of, at)
				}
				if !seen {
					t.Errorf("rule %s: no method has %v", r.Name, at)
				}
			}
		}
	}
}
