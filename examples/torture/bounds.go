package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/airlock-run/airlock/sdk"
)

type amountParams struct {
	Megabytes int
}

// block is what is taken at a time.
const block = 1 << 20

// useMemory takes memory, and touches it, so that it is there.
func useMemory(ctx context.Context, x *sdk.Execution, p amountParams) error {
	var held [][]byte
	for range p.Megabytes {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		b := make([]byte, block)
		for i := 0; i < len(b); i += os.Getpagesize() {
			b[i] = 1
		}
		held = append(held, b)
	}
	x.Output(len(held))
	return nil
}

// writeFiles fills the work directory, one file in each of the places that a program writes to.
func writeFiles(ctx context.Context, x *sdk.Execution, p amountParams) error {
	var files []*os.File
	for _, dir := range []string{os.Getenv("HOME"), os.TempDir(), "/tmp"} {
		f, err := os.Create(filepath.Join(dir, "filling"))
		if err != nil {
			return err
		}
		defer f.Close()
		files = append(files, f)
	}
	b := make([]byte, block)
	for n := range p.Megabytes {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if _, err := files[n%len(files)].Write(b); err != nil {
			return err
		}
	}
	x.Output("written")
	return nil
}
