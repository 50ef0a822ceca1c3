package sdk

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/airlock-run/airlock/sdk/wire"
)

// Cmdlet declares one cmdlet whose parameters are the fields of the struct P; manifest.FieldParameter says how. P is
// struct{} where there are none. All fields but Run are constants in the source.
type Cmdlet[P any] struct {
	Name           string // Verb-Noun, or the bare name of a lifecycle kind
	Description    string
	Timeout        time.Duration // whole seconds, one hour at most; 0 means 30 minutes
	UpdatesSDDC    bool          // the private cloud reads Updating while the cmdlet runs
	AutomationOnly bool          // for applications, not for persons
	Lifecycle      manifest.Lifecycle

	// Run does the work. An error's first line becomes the execution's failure, so it should be one sentence that
	// says what to do; nothing that the cmdlet named or kept is kept then. ctx ends when Airlock asks the cmdlet to
	// end: at the timeout, when it is canceled, when Airlock goes away. The kill follows five seconds later.
	Run func(ctx context.Context, x *Execution, p P) error
}

// Declared is a Cmdlet of whatever parameters.
type Declared interface {
	declare() (manifest.Cmdlet, error)
	invoke(ctx context.Context, x *Execution, args map[string]wire.Argument) error
}

func (c Cmdlet[P]) declare() (manifest.Cmdlet, error) {
	seconds, err := manifest.TimeoutSeconds(c.Timeout)
	if err != nil {
		return manifest.Cmdlet{}, fmt.Errorf("%s: %w", c.Name, err)
	}
	params, err := parameters(reflect.TypeFor[P]())
	if err != nil {
		return manifest.Cmdlet{}, fmt.Errorf("%s: %w", c.Name, err)
	}
	if c.Run == nil {
		return manifest.Cmdlet{}, fmt.Errorf("%s: the field Run is missing", c.Name)
	}
	return manifest.Cmdlet{
		Name: c.Name, Description: c.Description, TimeoutSeconds: seconds, UpdatesSDDC: c.UpdatesSDDC,
		AutomationOnly: c.AutomationOnly, Lifecycle: c.Lifecycle, Parameters: params,
	}, nil
}

func (c Cmdlet[P]) invoke(ctx context.Context, x *Execution, args map[string]wire.Argument) error {
	var p P
	if err := bind(reflect.ValueOf(&p).Elem(), args); err != nil {
		return err
	}
	return c.Run(ctx, x, p)
}

// parameters are those that the fields of t declare, in their order.
func parameters(t reflect.Type) ([]manifest.Parameter, error) {
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("the parameters have the type %v, want a struct", t)
	}
	params := make([]manifest.Parameter, t.NumField())
	for i := range params {
		f := t.Field(i)
		p, err := manifest.FieldParameter(f.Name, typeName(f.Type), f.Tag)
		if err != nil {
			return nil, err
		}
		params[i] = p
	}
	return params, nil
}

// typeName is a type's name in the form that manifest.FieldParameter reads.
func typeName(t reflect.Type) string {
	switch {
	case t.PkgPath() != "":
		return t.PkgPath() + "." + t.Name()
	case t.Kind() == reflect.Pointer:
		return "*" + typeName(t.Elem())
	}
	return t.String()
}

// bind sets the fields of a parameter struct. Names are compared without case.
func bind(into reflect.Value, args map[string]wire.Argument) error {
	params, err := parameters(into.Type())
	if err != nil {
		return err
	}
	given := make(map[string]string, len(args)) // the name as it was given, by name in lower case
	for name := range args {
		key := strings.ToLower(name)
		if _, twice := given[key]; twice {
			return fmt.Errorf("the parameter %s is given twice", name)
		}
		given[key] = name
	}
	for i, p := range params {
		key := strings.ToLower(p.Name)
		name, found := given[key]
		delete(given, key)
		switch {
		case !found && p.Required:
			return fmt.Errorf("the parameter %s is required, and missing", p.Name)
		case !found:
			continue
		}
		if err := set(into.Field(i), p.Type, args[name]); err != nil {
			return fmt.Errorf("the parameter %s %w", p.Name, err)
		}
	}
	for _, name := range given {
		return fmt.Errorf("the cmdlet has no parameter %s", name)
	}
	return nil
}

func set(field reflect.Value, declared manifest.Type, a wire.Argument) error {
	if a.Type != declared {
		return fmt.Errorf("has the type %s, and was given as %s", declared, a.Type)
	}
	if field.Kind() == reflect.Pointer {
		field.Set(reflect.New(field.Type().Elem()))
		field = field.Elem()
	}
	switch declared {
	case manifest.String:
		field.SetString(a.Value)
	case manifest.Int:
		n, err := strconv.ParseInt(a.Value, 10, 32)
		if err != nil {
			return fmt.Errorf("is %q, want a whole number from %d to %d", a.Value, math.MinInt32, math.MaxInt32)
		}
		field.SetInt(n)
	case manifest.Float:
		f, err := strconv.ParseFloat(a.Value, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("is %q, want a number such as 2.5 or 1e-3", a.Value)
		}
		field.SetFloat(f)
	case manifest.Bool:
		if !strings.EqualFold(a.Value, "true") && !strings.EqualFold(a.Value, "false") {
			return fmt.Errorf("is %q, want true or false", a.Value)
		}
		field.SetBool(strings.EqualFold(a.Value, "true"))
	case manifest.SecureString:
		field.Set(reflect.ValueOf(a.Secret))
	case manifest.Credential:
		field.Set(reflect.ValueOf(Credential{a.Username, a.Secret}))
	default:
		return errors.New("has a type that this SDK does not know")
	}
	return nil
}
