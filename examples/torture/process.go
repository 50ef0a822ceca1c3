package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/airlock-run/airlock/sdk"
)

type logParams struct {
	File         string `airlock:"optional" description:"file to append to, and not the Output stream"`
	Milliseconds int    `airlock:"optional" description:"time between start and end"`
}

// writeLog writes "start <execution name> <nanoseconds since 1970>" and the like for end, each in one write.
func writeLog(ctx context.Context, x *sdk.Execution, p logParams) error {
	note := func(what string) error {
		x.Output(fmt.Sprintf("%s %s %d", what, x.Name, time.Now().UnixNano()))
		return nil
	}
	if p.File != "" {
		f, err := os.OpenFile(p.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		note = func(what string) error {
			_, err := fmt.Fprintf(f, "%s %s %d\n", what, x.Name, time.Now().UnixNano())
			return err
		}
	}
	if err := note("start"); err != nil {
		return err
	}
	select {
	case <-time.After(time.Duration(p.Milliseconds) * time.Millisecond):
	case <-ctx.Done():
	}
	return errors.Join(note("end"), context.Cause(ctx))
}

// asChild in the environment makes the program one that somebody forgot.
const asChild = "AIRLOCK_TORTURE_CHILD"

type childrenParams struct {
	Count int `description:"how many; every second one leaves the process group"`
}

func startChildren(_ context.Context, x *sdk.Execution, p childrenParams) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	pids := []int{}
	for i := range p.Count {
		cmd := exec.Command(self)
		cmd.Env = []string{asChild + "=1"}
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr // and hold them open
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: i%2 == 1}
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("child %d could not be started: %w", i, err)
		}
		pids = append(pids, cmd.Process.Pid)
	}
	x.Output(pids)
	return nil
}

// child heeds no signal that can be caught, and ends after an hour.
func child() {
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	time.Sleep(time.Hour)
	os.Exit(0)
}

type hardParams struct {
	How string `description:"exit (code 3), panic, crash (a panic of another goroutine) or kill"`
}

func stopHard(_ context.Context, x *sdk.Execution, p hardParams) error {
	x.Output("about to " + p.How)
	x.NamedOutputs.Set("never", "kept")
	switch p.How {
	case "exit":
		os.Exit(3)
	case "panic":
		panic("told to panic")
	case "crash":
		go func() { panic("told to crash") }()
		select {}
	case "kill":
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			return err
		}
		select {}
	}
	return fmt.Errorf("the parameter How is %q, want exit, panic, crash or kill", p.How)
}

type ignoreParams struct {
	Seconds int `airlock:"optional" description:"when to end well after all, 600 by default"`
}

func ignoreCancel(ctx context.Context, x *sdk.Execution, p ignoreParams) error {
	if p.Seconds <= 0 {
		p.Seconds = 600
	}
	x.Output("running")
	end := time.After(time.Duration(p.Seconds) * time.Second)
	select {
	case <-ctx.Done():
		x.Output("asked to end, going on")
		<-end
	case <-end:
	}
	return nil
}

type allParams struct {
	Text   string
	Number int
	Ratio  float64           `airlock:"optional"`
	Flag   *bool             `description:"may be left out"`
	Key    *sdk.SecureString `description:"may be left out"`
	Login  *sdk.Credential   `description:"may be left out"`
}

// testParameters says what it got, of secure values the length only.
func testParameters(_ context.Context, x *sdk.Execution, p allParams) error {
	got := map[string]any{"Text": p.Text, "Number": p.Number, "Ratio": p.Ratio, "Flag": p.Flag}
	if p.Key != nil {
		got["Key"] = len(p.Key.Reveal())
	}
	if p.Login != nil {
		got["Login"] = fmt.Sprintf("%s/%d", p.Login.Username, len(p.Login.Password.Reveal()))
	}
	x.Output(got)
	return nil
}
