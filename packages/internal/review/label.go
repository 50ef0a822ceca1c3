package review

import (
	"maps"
	"regexp"
	"strings"

	"github.com/airlock-run/airlock/packages/internal/powershell/syntax"
)

// labels say what is known of a value: that it is, or was made of, a secret in plain text, the account cloudadmin, a
// parameter ("$name", in lower case) …
type labels map[string]bool

const (
	secret       = "secret"
	networkLogin = "login"   // a NetworkCredential, whose Password is a secret
	account      = "account" // the name of the account cloudadmin
	admins       = "admins"  // the name of the group or role CloudAdmins, or the account
	sshShell     = "shell"   // a stream of a shell over SSH
	ovf          = "ovf"     // the configuration of an OVF
)

func label(names ...string) labels {
	l := labels{}
	for _, name := range names {
		l[name] = true
	}
	return l
}

// with is the union of both.
func (l labels) with(o labels) labels {
	if len(o) == 0 {
		return l
	}
	if len(l) == 0 {
		return o
	}
	var u labels
	for name := range o {
		if u == nil && !l[name] {
			u = maps.Clone(l)
		}
		if u != nil {
			u[name] = true
		}
	}
	if u == nil {
		return l
	}
	return u
}

// maxLabels is how many parameters of a function are told apart.
const maxLabels = 64

// parameter is the label of a function's parameter.
func (s *scope) parameter(i int) string {
	if i >= maxLabels {
		return "$"
	}
	return "$" + strings.ToLower(s.params[i].Name)
}

// without leaves out labels, of which "$" means all parameters.
func (l labels) without(names ...string) labels {
	kept := labels{}
	for name := range l {
		keep := true
		for _, n := range names {
			if name == n || n == "$" && name[0] == '$' {
				keep = false
			}
		}
		if keep {
			kept[name] = true
		}
	}
	return kept
}

// parameters are the names of the parameters among the labels.
func (l labels) parameters() []string {
	var all []string
	for name := range l {
		if name[0] == '$' {
			all = append(all, name)
		}
	}
	return all
}

// accountForm is the name of the account, alone or with a domain before or after it; adminsForm that of the group too.
var (
	accountForm = regexp.MustCompile(`(?i)^\s*(?:[^\s\\]+\\)?cloudadmin(?:@\S*)?\s*$`)
	adminsForm  = regexp.MustCompile(`(?i)^\s*(?:[^\s\\]+\\)?cloudadmins?(?:group)?(?:@\S*)?\s*$`)
)

func textLabels(s string) labels {
	l := labels{}
	if accountForm.MatchString(s) {
		l[account] = true
	}
	if adminsForm.MatchString(s) {
		l[admins] = true
	}
	return l
}

// strong are types whose values hold no code: a parameter of one of them can do no harm in a command line.
var strong = set(`int int16 int32 int64 long short byte sbyte uint uint16 uint32 uint64 ulong ushort double single float decimal
	bigint bool boolean switch switchparameter datetime timespan guid version ipaddress char securestring`)

// typeName is the last part of a type's name, in lower case, without arrays and type arguments.
func typeName(written string) string {
	written, _, _ = strings.Cut(written, "[")
	written, _, _ = strings.Cut(written, ",")
	return strings.ToLower(strings.TrimSpace(written[strings.LastIndexAny(written, ".+")+1:]))
}

// checked says whether PowerShell lets only harmless values through to a parameter.
func checked(p *syntax.Param) bool {
	for _, a := range p.Attributes {
		if a.Kind == syntax.Type && strong[typeName(a.Text)] || a.Kind == syntax.Attribute && a.Is("ValidateSet", "ValidateSetAttribute") {
			return true
		}
	}
	return false
}

// typed says whether a parameter has the type.
func typed(p *syntax.Param, name string) bool {
	for _, a := range p.Attributes {
		if a.Kind == syntax.Type && typeName(a.Text) == name {
			return true
		}
	}
	return false
}
