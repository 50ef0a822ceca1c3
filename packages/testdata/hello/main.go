// Command hello is the smallest script package.
package main

import (
	"context"

	"github.com/airlock-run/airlock/sdk"
)

type helloParams struct {
	Name string `description:"who is greeted"`
}

func main() {
	sdk.Main(
		sdk.Package{Name: "Contoso.Hello", Version: "1.0", Description: "Greets."},
		sdk.Cmdlet[helloParams]{Name: "Show-Hello", Description: "Greets somebody.", Run: showHello},
	)
}

func showHello(_ context.Context, x *sdk.Execution, p helloParams) error {
	x.Output("Hello " + p.Name)
	return nil
}
