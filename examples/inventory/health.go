package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/sdk"
)

type healthParams struct {
	Directory string `airlock:"optional" description:"where the test file is written on each host, /tmp by default"`
}

func testHostHealth(ctx context.Context, x *sdk.Execution, p healthParams) error {
	if p.Directory == "" {
		p.Directory = "/tmp"
	}
	var ill []string
	for _, host := range x.Hosts() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := examine(ctx, x, host, p.Directory); err != nil {
			x.Error(fmt.Sprintf("%s: %v", host, err))
			ill = append(ill, host)
			continue
		}
		x.Output(host + ": healthy")
	}
	x.NamedOutputs.Set("healthy", len(x.Hosts())-len(ill))
	if len(ill) > 0 {
		return fmt.Errorf("%d of %d hosts are not healthy (%s); the Error stream says why", len(ill), len(x.Hosts()), strings.Join(ill, ", "))
	}
	return nil
}

func examine(ctx context.Context, x *sdk.Execution, host, directory string) error {
	conn, err := x.SSH(ctx, host)
	if err != nil {
		return err
	}
	for _, command := range []string{"uname -a", "uptime"} {
		out, err := execute(conn, command)
		if err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
		x.Information(fmt.Sprintf("%s: %s", host, out))
	}
	files, err := x.SFTP(ctx, host)
	if err != nil {
		return err
	}
	return roundTrip(files, path.Join(directory, "airlock-health-"+x.ID))
}

func execute(conn *ssh.Client, command string) (string, error) {
	s, err := conn.NewSession()
	if err != nil {
		return "", err
	}
	defer s.Close()
	out, err := s.Output(command)
	return strings.TrimSpace(string(out)), err
}

// roundTrip writes a file, reads it back and removes it.
func roundTrip(files *sftp.Client, name string) (err error) {
	sent := make([]byte, 64<<10)
	_, _ = rand.Read(sent) // never fails
	f, err := files.Create(name)
	if err != nil {
		return fmt.Errorf("%s could not be created by SFTP: %w", name, err)
	}
	defer func() { err = errors.Join(err, files.Remove(name)) }()
	_, err = f.Write(sent)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%s could not be written by SFTP: %w", name, err)
	}
	f, err = files.Open(name)
	if err != nil {
		return fmt.Errorf("%s could not be opened by SFTP: %w", name, err)
	}
	defer f.Close()
	received, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("%s could not be read by SFTP: %w", name, err)
	}
	if !bytes.Equal(sent, received) {
		return fmt.Errorf("%s came back changed: %d bytes were sent, %d received", name, len(sent), len(received))
	}
	return nil
}
