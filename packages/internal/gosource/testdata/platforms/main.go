// Command platforms declares another thing on each platform.
package main

import (
	"context"

	"github.com/airlock-run/airlock/sdk"
)

func main() {
	sdk.Main(sdk.Package{Name: "P", Version: "1.0.0"}, sdk.Cmdlet[struct{}]{Name: "Get-" + noun, Run: run})
}

func run(context.Context, *sdk.Execution, struct{}) error { return nil }
