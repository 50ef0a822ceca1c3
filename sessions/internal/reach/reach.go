// Package reach says why a server of a private cloud cannot be reached, in a sentence for whoever registered it.
package reach

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Why explains the error of dialling a server's address.
func Why(server, addr string, err error) string {
	missing := (*net.DNSError)(nil)
	switch {
	case errors.As(err, &missing) && missing.IsNotFound:
		return fmt.Sprintf("The name of %s, %s, is not known to DNS where Airlock runs: check the name, or give an address to dial.", server, missing.Name)
	case errors.As(err, &missing):
		return fmt.Sprintf("DNS gave no answer for %s, where %s should be: check the DNS settings of the machine that Airlock runs on.", missing.Name, server)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("Nothing takes connections at %s, where %s should be: check that it runs, and address and port.", addr, server)
	}
	return fmt.Sprintf("There is no connection to %s at %s (%v): check the address, and that no firewall is in the way.", server, addr, err)
}
