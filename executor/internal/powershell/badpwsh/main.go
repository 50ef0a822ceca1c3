// Badpwsh is a PowerShell that does not work, for tests. What it does instead follows from its name.
package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/airlock-run/airlock/executor/internal/psrp/psrptest"
)

func main() {
	name := filepath.Base(os.Args[0])
	switch version, is := strings.CutPrefix(name, "version-"); {
	case is:
		s := psrptest.Server{Version: version, Run: (*psrptest.Pipeline).Completed}
		_ = s.Serve(os.Stdin, os.Stdout)
	case name == "ends":
		fmt.Fprintf(os.Stderr, "You must install .NET\n\x1b[31mto run this application.\n%s\n", strings.Repeat("x", 10_000))
		os.Exit(131)
	case name == "leaves": // without a word
	case name == "lines":
		for {
			fmt.Println("PowerShell 7.6.5\nPS />")
		}
	case name == "bytes":
		for zeros := make([]byte, 1<<10); ; {
			_, _ = os.Stdout.Write(zeros)
		}
	case name == "complains":
		for {
			fmt.Fprintln(os.Stderr, "something is wrong")
		}
	case name == "acknowledges":
		acknowledge()
	}
	for name != "leaves" && !strings.HasPrefix(name, "version-") {
		time.Sleep(time.Hour)
	}
}

// acknowledge says that it has got each line, and never that the pool is open.
func acknowledge() {
	id := regexp.MustCompile(`PSGuid='([^']*)'`)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if found := id.FindStringSubmatch(lines.Text()); found != nil {
			fmt.Printf("<DataAck PSGuid='%s' />\n", found[1])
		}
	}
}
