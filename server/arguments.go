package server

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/manifest"
)

// arguments are the parameters of a PUT after they have been held against the cmdlet's declaration, under the names
// that were declared.
type arguments struct {
	visible []domain.Parameter
	hidden  []domain.Parameter
	secure  domain.SecureValues
}

// checkArguments holds what was given against the declaration. No error shows a value.
func checkArguments(all []given, cmdlet manifest.Cmdlet) (arguments, error) {
	args := arguments{secure: domain.SecureValues{}}
	seen := map[string]bool{}
	for _, g := range all {
		declared, ok := cmdlet.Parameter(g.name)
		if !ok {
			return args, invalid(g.path, "The cmdlet %s has no parameter %.128q; it has %s.", cmdlet.Name, g.name, parameterNames(cmdlet.Parameters))
		}
		key := strings.ToLower(declared.Name)
		if seen[key] {
			return args, invalid(g.path, "The parameter %s is given twice (case does not matter, nor whether it is hidden); leave one out.", declared.Name)
		}
		seen[key] = true
		value, err := g.check(declared)
		if err != nil {
			return args, err
		}
		p := domain.Parameter{Name: declared.Name, Type: declared.Type, Secure: declared.Type.Secret()}
		if p.Secure {
			args.secure[key] = value
		} else {
			p.Value = *g.value
		}
		if g.hidden {
			args.hidden = append(args.hidden, p)
		} else {
			args.visible = append(args.visible, p)
		}
	}
	var missing []manifest.Parameter
	for _, declared := range cmdlet.Parameters {
		if declared.Required && !seen[strings.ToLower(declared.Name)] {
			missing = append(missing, declared)
		}
	}
	if len(missing) > 0 {
		return args, invalid("properties.parameters", "The cmdlet %s needs %s as well.", cmdlet.Name, parameterNames(missing))
	}
	return args, nil
}

// check holds one parameter against its declaration. The value is that of a secure one.
func (g given) check(declared manifest.Parameter) (secure domain.SecureValue, err error) {
	if want := discriminator(declared.Type); g.kind != want {
		return secure, invalid(g.path, "The parameter %s is a %s: send it with the type %s, not %s.", declared.Name, declared.Type, want, g.kind)
	}
	switch g.kind {
	case kindCredential:
		if g.username == nil || *g.username == "" || g.secret == nil {
			return secure, invalid(g.path, "The parameter %s is a Credential: it needs a username and a password.", declared.Name)
		}
		return domain.SecureValue{Username: *g.username, Password: *g.secret}, nil
	case kindSecure:
		if g.secret == nil {
			return secure, invalid(g.path, "The parameter %s is a SecureString: it needs a secureValue.", declared.Name)
		}
		return domain.SecureValue{Password: *g.secret}, nil
	}
	if g.value == nil {
		return secure, invalid(g.path, "The parameter %s needs a value.", declared.Name)
	}
	if rule := plainForm(declared.Type, *g.value); rule != "" {
		return secure, invalid(g.path+".value", "The parameter %s is %s.", declared.Name, rule)
	}
	return secure, nil
}

var floatForm = regexp.MustCompile(`^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$`)

// plainForm is "" where the value has the form of its type, else what the type's values are. All values are text on the
// wire.
func plainForm(t manifest.Type, value string) string {
	switch t {
	case manifest.Int:
		if _, err := strconv.ParseInt(value, 10, 32); err != nil {
			return "an Int: a whole number from -2147483648 to 2147483647, in decimal digits"
		}
	case manifest.Float:
		if _, err := strconv.ParseFloat(value, 64); err != nil || !floatForm.MatchString(value) {
			return "a Float: a number such as 0.5, 12 or 1e-3, with a '.' before its decimals"
		}
	case manifest.Bool:
		if !strings.EqualFold(value, "true") && !strings.EqualFold(value, "false") {
			return "a Bool: true or false"
		}
	}
	return ""
}

func invalid(target, format string, args ...any) *errors.Error {
	return errors.Newf(errors.InvalidParameter, format, args...).At(target)
}

func parameterNames(parameters []manifest.Parameter) string {
	names := make([]string, 0, len(parameters))
	for _, p := range parameters {
		names = append(names, p.Name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
