package reach_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/airlock-run/airlock/sessions/internal/reach"
)

func TestWhy(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"The name of the vCenter, vc.example, is not known to DNS":     &net.OpError{Err: &net.DNSError{Name: "vc.example", IsNotFound: true}},
		"DNS gave no answer for vc.example, where the vCenter should":  &net.OpError{Err: &net.DNSError{Name: "vc.example", IsTimeout: true}},
		"Nothing takes connections at vc.example:443, where the vCent": fmt.Errorf("dial: %w", syscall.ECONNREFUSED),
		"There is no connection to the vCenter at vc.example:443 (no ": errors.New("no route"),
	} {
		if got := reach.Why("the vCenter", "vc.example:443", err); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, ".") {
			t.Errorf("%v is told as %q, want %q", err, got, want)
		}
	}
}
