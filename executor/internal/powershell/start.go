package powershell

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/airlock-run/airlock/executor/internal/psrp"
	"github.com/airlock-run/airlock/internal/errors"
)

// startup bounds how long PowerShell takes until it answers. It takes 200 ms on a quiet machine.
const startup = 30 * time.Second

// open waits until PowerShell has started.
func (c *conversation) open(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, startup)
	defer cancel()
	err := c.client.Open(bounded)
	switch {
	case errors.Is(err, psrp.ErrEnded):
		return c.install.broken(err, "ended before it answered")
	case err != nil && ctx.Err() == nil:
		return c.install.broken(err, fmt.Sprintf("did not answer within %v", startup))
	case err != nil:
		return err
	}
	return c.install.suits(c.client.Version())
}

// suits says whether a version is one that can be used: 7.4 or newer.
func (i Install) suits(version string) error {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	x, errMajor := strconv.Atoi(major)
	y, errMinor := strconv.Atoi(minor)
	if errMajor != nil || errMinor != nil || x < 7 || x == 7 && y < 4 {
		return i.broken(nil, fmt.Sprintf("is version %q, and has to be 7.4 or newer", version))
	}
	return nil
}
