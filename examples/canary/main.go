// Command canary is a script package for Airlock's own tests: one cmdlet that uses all that an execution is given, keeps
// every byte that it receives, and waits. Whoever searches its memory then finds what a script can get hold of.
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/airlock-run/airlock/sdk"
)

func main() {
	sdk.Main(
		sdk.Package{Name: "Airlock.Examples.Canary", Version: "1.0.0", Description: "Uses all that it is given, for Airlock's tests."},
		sdk.Cmdlet[params]{Name: "Use-Everything", Description: "Uses vCenter and hosts in each way, and waits until it is asked to end.", Timeout: time.Hour, Run: useEverything},
	)
}

type params struct {
	Reversed string `description:"a text spelt backwards, so that it stands nowhere before; it is kept in each form in which a secret could show"`
}

// done is the last that the cmdlet says before it waits.
const done = "all is used"

// kept is what the script has received and made. It stays in memory.
var kept keeper

func useEverything(ctx context.Context, x *sdk.Execution, p params) error {
	if err := plant(x, reverse(p.Reversed)); err != nil {
		return fmt.Errorf("plant: %w", err)
	}
	for _, use := range []struct {
		what string
		all  func(context.Context, *sdk.Execution) error
	}{{"vCenter", useVCenter}, {"hosts", useHosts}, {"processes", lookAround}} {
		if err := use.all(ctx, x); err != nil {
			return fmt.Errorf("%s: %w", use.what, err)
		}
	}
	if err := useHost(ctx, x, x.Hosts()[0], "/tmp/"+reverse(p.Reversed)); err != nil {
		return err
	}
	x.Output("its token: " + x.Grant().Token.Reveal())
	x.Output(done)
	<-ctx.Done()
	return errors.Join(context.Cause(ctx), kept.close())
}
