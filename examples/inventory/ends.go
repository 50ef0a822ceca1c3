package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/airlock-run/airlock/sdk"
	"github.com/airlock-run/airlock/sdk/secret"
)

func invokeFailure(_ context.Context, x *sdk.Execution, _ struct{}) error {
	x.Output("one line of output")
	x.Information(map[string]any{"step": 1, "of": 2})
	x.Warning("the next step will fail")
	x.Error("the next step failed")
	password := secret.New("set by a cmdlet that fails")
	if err := x.PersistentSecrets.Set("never-kept", password); err != nil {
		return err
	}
	x.Information("printed by accident: " + password.Reveal())
	x.NamedOutputs.Set("neverKept", "set by a cmdlet that fails")
	return errors.New("this cmdlet always fails; run Get-Inventory to see one that does not")
}

type sleepParams struct {
	Seconds      int  `description:"how long to wait"`
	IgnoreCancel bool `airlock:"optional" description:"whether to go on when asked to end, until the kill"`
}

func startSleep(ctx context.Context, x *sdk.Execution, p sleepParams) error {
	if p.Seconds < 0 {
		return fmt.Errorf("the parameter Seconds is %d, want 0 or more", p.Seconds)
	}
	x.Output(fmt.Sprintf("sleeping for %d s", p.Seconds))
	done := ctx.Done()
	if p.IgnoreCancel {
		done = nil
	}
	over, tick := time.After(time.Duration(p.Seconds)*time.Second), time.NewTicker(time.Second)
	defer tick.Stop()
	for slept := 0; ; slept++ {
		x.Progress(fmt.Sprintf("slept %d of %d s", slept, p.Seconds))
		select {
		case <-tick.C:
		case <-over:
			x.Output("slept")
			return nil
		case <-done:
			x.Warning("asked to end")
			return context.Cause(ctx)
		}
	}
}
