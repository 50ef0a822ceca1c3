package manifest_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/airlock-run/airlock/sdk/manifest"
)

func TestFieldParameter(t *testing.T) {
	t.Parallel()
	const sdk = "github.com/airlock-run/airlock/sdk"
	for _, c := range []struct {
		field, goType string
		tag           reflect.StructTag
		want          manifest.Parameter
	}{
		{"Cluster", "string", `description:"which one"`, manifest.Parameter{Name: "Cluster", Description: "which one", Type: manifest.String, Required: true}},
		{"Cluster", "*string", ``, manifest.Parameter{Name: "Cluster", Type: manifest.String}},
		{"N", "int", `airlock:"optional"`, manifest.Parameter{Name: "N", Type: manifest.Int}},
		{"N", "int32", `airlock:"name=Count"`, manifest.Parameter{Name: "Count", Type: manifest.Int, Required: true}},
		{"N", "float64", `airlock:"name=ratio,optional" json:"x"`, manifest.Parameter{Name: "ratio", Type: manifest.Float}},
		{"Force", "*bool", `airlock:"optional"`, manifest.Parameter{Name: "Force", Type: manifest.Bool}},
		{"P", sdk + "/secret.Text", ``, manifest.Parameter{Name: "P", Type: manifest.SecureString, Required: true}},
		{"P", "*" + sdk + ".SecureString", ``, manifest.Parameter{Name: "P", Type: manifest.SecureString}},
		{"Login", sdk + ".Credential", ``, manifest.Parameter{Name: "Login", Type: manifest.Credential, Required: true}},
	} {
		got, err := manifest.FieldParameter(c.field, c.goType, c.tag)
		if err != nil || got != c.want {
			t.Errorf("%s %s `%s`: %+v, %v; want %+v", c.field, c.goType, c.tag, got, err, c.want)
		}
	}
}

func TestFieldParameterRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		field, goType string
		tag           reflect.StructTag
		says          string
	}{
		{"A", "[]string", ``, "type []string"},
		{"A", "int64", ``, "type int64"},
		{"A", "**string", ``, "type **string"},
		{"A", "example.com/x/secret.Text", ``, "type example.com"},
		{"A", "string", `airlock:"Optional"`, `unknown option "Optional"`},
		{"A", "string", `airlock:"name="`, `the name ""`},
		{"A", "string", `airlock:"name=a-b"`, `the name "a-b"`},
		{"a", "string", ``, "upper-case"},
		{"_", "string", `airlock:"name=ok"`, "upper-case"},
		{"Ä", "string", ``, "upper-case"},
		{"", "string", ``, "upper-case"},
	} {
		got, err := manifest.FieldParameter(c.field, c.goType, c.tag)
		if err == nil || !strings.Contains(err.Error(), c.says) || got != (manifest.Parameter{}) {
			t.Errorf("%s %s `%s`: %+v, %v; want an error that says %s", c.field, c.goType, c.tag, got, err, c.says)
		}
	}
}

func TestTimeoutSeconds(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]int{0: 0, time.Second: 1, 90 * time.Second: 90, time.Hour: 3600} {
		if got, err := manifest.TimeoutSeconds(d); err != nil || got != want {
			t.Errorf("%v: %d, %v", d, got, err)
		}
	}
	for _, d := range []time.Duration{-time.Second, time.Hour + time.Second, 1500 * time.Millisecond, time.Nanosecond} {
		if got, err := manifest.TimeoutSeconds(d); err == nil {
			t.Errorf("%v: %d, want an error", d, got)
		}
	}
}
