// Command airlock runs vetted cmdlets against vSphere private clouds, one at a time, and hands out no credential.
package main

import (
	"os"

	"github.com/airlock-run/airlock/cli"
)

func main() { os.Exit(cli.Main()) }
