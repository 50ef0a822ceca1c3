// Command full declares what can be declared, in every form that can be read.
package main

import (
	"context"
	"time"

	"github.com/airlock-run/airlock/packages/internal/gosource/testdata/library"
	"github.com/airlock-run/airlock/sdk"
	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/airlock-run/airlock/sdk/secret"
)

const (
	name    = "Contoso." + "Full"
	minutes = 5
)

type text = string

type everything struct {
	Cluster  string             `description:"which cluster"`
	Count    *int               `airlock:"name=count" description:"how many"`
	Port     int32              `airlock:"optional"`
	Ratio    float64            //
	Force    *bool              //
	Password secret.Text        //
	Token    *sdk.SecureString  `description:"a token"`
	Login    sdk.Credential     `airlock:"name=login,optional"`
	Alias    text               //
	Aliased  library.SecureText //
}

var second = sdk.Cmdlet[struct{}]{Name: "Get-Second", Run: nothing[struct{}]}

func main() {
	third := &sdk.Cmdlet[library.Parameters]{Name: "Get-" + library.Noun, Lifecycle: manifest.Diagnostics, Run: nothing[library.Parameters]}
	sdk.Main(
		sdk.Package{name, `1.2.0-dev.3`, "a package\nof tests", "Contoso", "https://example.com/"},
		sdk.Cmdlet[everything]{
			Name:           "Set-Everything",
			Description:    "sets " + name,
			Timeout:        minutes * time.Minute,
			UpdatesSDDC:    true,
			AutomationOnly: minutes > 4,
			Lifecycle:      manifest.Install,
			Run: func(context.Context, *sdk.Execution, everything) error {
				panic("a package is never run to be read")
			},
		},
		second,
		(third),
	)
}

func nothing[P any](context.Context, *sdk.Execution, P) error { return nil }

func init() { panic("a package is never run to be read") }
