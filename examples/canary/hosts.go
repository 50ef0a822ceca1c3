package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/ssh"

	"github.com/airlock-run/airlock/sdk"
)

// useHosts does on each host what SSH and SFTP can do.
func useHosts(ctx context.Context, x *sdk.Execution) error {
	for _, host := range x.Hosts() {
		if err := useHost(ctx, x, host, "/tmp/canary-"+x.ID); err != nil {
			return fmt.Errorf("%s: %w", host, err)
		}
	}
	return nil
}

func useHost(ctx context.Context, x *sdk.Execution, host, file string) error {
	conn, err := x.SSH(ctx, host)
	if err != nil {
		return err
	}
	for _, command := range []string{"uname -a", "ls -l /", "cat /etc/missing"} {
		s, err := conn.NewSession()
		if err != nil {
			return err
		}
		out, err := s.CombinedOutput(command)
		var exit *ssh.ExitError
		if err != nil && !errors.As(err, &exit) {
			return fmt.Errorf("%s: %w", command, err)
		}
		kept.say(command, string(out), err)
	}
	if _, _, err := conn.OpenChannel("direct-tcpip", nil); err == nil {
		return errors.New("direct-tcpip was opened")
	} else {
		kept.say(err)
	}
	files, err := x.SFTP(ctx, host)
	if err != nil {
		return err
	}
	content := bytes.Repeat([]byte("canary "), 1<<10)
	f, err := files.Create(file)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if f, err = files.Open(file); err != nil {
		return err
	}
	defer f.Close()
	got, err := io.ReadAll(f)
	if err == nil && !bytes.Equal(got, content) {
		err = fmt.Errorf("%d bytes came back of %d", len(got), len(content))
	}
	_, _ = kept.Write(got)
	return errors.Join(err, files.Remove(file))
}
