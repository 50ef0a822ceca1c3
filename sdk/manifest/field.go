package manifest

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Types of the SDK that a parameter's field may have, by their full names.
const (
	goSecret       = "github.com/airlock-run/airlock/sdk/secret.Text"
	goSecureString = "github.com/airlock-run/airlock/sdk.SecureString" // an alias of goSecret: a reader of source may meet either
	goCredential   = "github.com/airlock-run/airlock/sdk.Credential"
)

// FieldParameter is the parameter that a field of a Go cmdlet's parameter struct declares. The SDK (by reflection, when
// a cmdlet runs) and the reader of a package's source (when it is packed) both ask here, so that they cannot disagree.
//
// goType is the field's type with full import paths, as go/types.TypeString(t, nil) writes it: string, int, int32,
// float64, bool, secret.Text (SecureString) or sdk.Credential, or a pointer to one of these. An int is an int32 all the
// same, because that is what the ARM API carries.
//
// The parameter has the field's name, and is required unless the field is a pointer. The tag changes both:
//
//	airlock:"name=ClusterName,optional" description:"which cluster, all of them by default"
//
// An optional parameter that was not given leaves the field zero; a pointer tells "not given" from "given as zero".
func FieldParameter(goField, goType string, tag reflect.StructTag) (Parameter, error) {
	base, pointer := strings.CutPrefix(goType, "*")
	p := Parameter{Name: goField, Description: tag.Get("description"), Required: !pointer}
	switch base {
	case "string":
		p.Type = String
	case "int", "int32":
		p.Type = Int
	case "float64":
		p.Type = Float
	case "bool":
		p.Type = Bool
	case goSecret, goSecureString:
		p.Type = SecureString
	case goCredential:
		p.Type = Credential
	default:
		return Parameter{}, fmt.Errorf("the field %s has the type %s; a parameter is a string, int, int32, float64, bool, sdk.SecureString or sdk.Credential, or a pointer to one", goField, goType)
	}
	for option := range strings.SplitSeq(tag.Get("airlock"), ",") {
		name, named := strings.CutPrefix(option, "name=")
		switch {
		case named:
			p.Name = name
		case option == "optional":
			p.Required = false
		case option != "":
			return Parameter{}, fmt.Errorf("the field %s has the unknown option %q in its airlock tag; name=… and optional are known", goField, option)
		}
	}
	if first := goField[:min(1, len(goField))]; first < "A" || first > "Z" {
		return Parameter{}, fmt.Errorf("the field %s must begin with an upper-case letter A to Z: a parameter's field is exported", goField)
	}
	if !identifier.MatchString(p.Name) {
		return Parameter{}, fmt.Errorf("the field %s gives its parameter the name %q; a letter or '_', then at most 127 letters, digits or '_' are allowed", goField, p.Name)
	}
	return p, nil
}

// TimeoutSeconds is the form in which a declaration holds a timeout given as a Go duration; 0 is none.
func TimeoutSeconds(d time.Duration) (int, error) {
	if d < 0 || d > MaxTimeout || d%time.Second != 0 {
		return 0, fmt.Errorf("the timeout %v must be whole seconds, at most %v", d, MaxTimeout)
	}
	return int(d / time.Second), nil
}
