package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/airlock-run/airlock/sdk"
	"github.com/airlock-run/airlock/sdk/secret"
)

type linesParams struct {
	Count   int `description:"how many lines in all"`
	Writers int `airlock:"optional" description:"how many goroutines, 4 by default"`
}

// writeLines writes "line <writer> <n>", n from 0 for each writer; the stream goes round with n.
func writeLines(_ context.Context, x *sdk.Execution, p linesParams) error {
	if p.Writers <= 0 {
		p.Writers = 4
	}
	streams := [...]func(any){x.Output, x.Information, x.Warning, x.Error}
	var wg sync.WaitGroup
	for writer := range p.Writers {
		lines := p.Count / p.Writers
		if writer < p.Count%p.Writers {
			lines++
		}
		wg.Go(func() {
			for n := range lines {
				streams[n%len(streams)](fmt.Sprintf("line %d %d", writer, n))
			}
		})
	}
	wg.Wait()
	x.NamedOutputs.Set("lines", p.Count)
	return nil
}

type secretParams struct {
	Key        sdk.SecureString `airlock:"optional" description:"a secret parameter to print"`
	Login      *sdk.Credential  `description:"another one"`
	SecretName string           `airlock:"optional" description:"name of a persistent secret to print"`
}

func writeSecret(_ context.Context, x *sdk.Execution, p secretParams) error {
	values := []sdk.SecureString{p.Key}
	if p.Login != nil {
		values = append(values, p.Login.Password)
	}
	if p.SecretName != "" {
		kept, ok := x.PersistentSecrets.Get(p.SecretName)
		if !ok {
			return fmt.Errorf("there is no persistent secret %s", p.SecretName)
		}
		values = append(values, kept)
	}
	for _, v := range values {
		if !v.IsEmpty() {
			leak(x, v.Reveal())
		}
	}
	return nil
}

// leak prints a value wherever a script can print, in each form that has to be redacted.
func leak(x *sdk.Execution, v string) {
	escaped, _ := json.Marshal(v) // a string has a form in JSON
	encoded := base64.StdEncoding.EncodeToString([]byte(v))
	half := len(v) / 2
	for _, write := range []func(any){x.Output, x.Information, x.Warning, x.Error} {
		write(v)
		write("in a sentence: " + v + ", twice: " + v)
		write(map[string]string{"value": v})
		write(string(escaped))
		write("base64: " + encoded)
		write("begins " + v[:half]) // over two records, joined by nothing
		write(v[half:] + " ends")
		for line := range strings.SplitSeq(v, "\n") {
			write(line) // a value of several lines, line by line
		}
	}
	// Over two writes, cut in its first line: lines that are written apart may have records of the wire protocol between
	// them, and then they are not neighbours.
	first, _, _ := strings.Cut(v, "\n")
	cut := len(first) / 2
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		fmt.Fprintf(f, "%s\n%s\n%s\n%s", v, escaped, encoded, v[:cut])
		fmt.Fprintln(f, v[cut:])
	}
	x.NamedOutputs.Set("leak", v)
}

type newSecretParams struct {
	Name     string `description:"name of the persistent secret"`
	Reversed string `description:"its value spelt backwards, so that the value itself stands nowhere before"`
	Fail     bool   `airlock:"optional" description:"whether to fail afterwards, with the value in the message"`
}

func newSecret(_ context.Context, x *sdk.Execution, p newSecretParams) error {
	letters := []byte(p.Reversed)
	for i, j := 0, len(letters)-1; i < j; i, j = i+1, j-1 {
		letters[i], letters[j] = letters[j], letters[i]
	}
	v := string(letters)
	x.Output("before it is set: " + v)
	if err := x.PersistentSecrets.Set(p.Name, secret.New(v)); err != nil {
		return err
	}
	leak(x, v)
	if p.Fail {
		return fmt.Errorf("failing with the secret %s", v)
	}
	return nil
}

func writeBinary(_ context.Context, x *sdk.Execution, _ struct{}) error {
	x.Output([]byte("caf\xe9 \x00 \xff\xfe \xf0\x9f\x98 end"))
	x.Output([]byte{0xc3})
	x.Output([]byte{0xa9}) // the rest of a character, in the next record
	_, err := os.Stdout.Write([]byte("caf\xe9 \x00 \xff\xfe end\n"))
	return err
}

type hugeParams struct {
	MiB        int `airlock:"name=Megabytes" description:"how many MiB to write"`
	LineLength int `airlock:"optional" description:"bytes in a line, 65536 by default"`
}

func writeHuge(ctx context.Context, x *sdk.Execution, p hugeParams) error {
	if p.LineLength <= 0 {
		p.LineLength = 64 << 10
	}
	line := strings.Repeat("x", p.LineLength)
	for left := p.MiB << 20; left > 0 && ctx.Err() == nil; left -= len(line) {
		x.Output(line)
	}
	return context.Cause(ctx)
}

type bigOutputParams struct {
	Bytes int `description:"size of the named output's value"`
}

func setBigOutput(_ context.Context, x *sdk.Execution, p bigOutputParams) error {
	x.NamedOutputs.Set("big", strings.Repeat("x", max(p.Bytes, 0)))
	return nil
}
