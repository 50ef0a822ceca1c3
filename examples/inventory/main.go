// Command inventory is the script package Airlock.Examples.Inventory: an example for vendors, and what the demo and
// the tests run. It shows each thing that a Go cmdlet can do: read a vCenter, work on hosts by SSH and SFTP, keep a
// secret from one execution to the next, fail, and be told to stop.
package main

import (
	"time"

	"github.com/airlock-run/airlock/sdk"
	"github.com/airlock-run/airlock/sdk/manifest"
)

func main() {
	sdk.Main(
		sdk.Package{
			Name:        "Airlock.Examples.Inventory",
			Version:     "1.0.0",
			Description: "Looks at a private cloud and its hosts, and keeps a service account.",
			Company:     "The Airlock project",
			ProjectURI:  "https://github.com/airlock-run/airlock",
		},
		sdk.Cmdlet[inventoryParams]{
			Name:        "Get-Inventory",
			Description: "Lists clusters, hosts and virtual machines.",
			Timeout:     5 * time.Minute,
			Lifecycle:   manifest.Diagnostics,
			Run:         getInventory,
		},
		sdk.Cmdlet[healthParams]{
			Name:        "Test-HostHealth",
			Description: "Logs in to every host, runs two commands and sends a file there and back.",
			Timeout:     10 * time.Minute,
			Run:         testHostHealth,
		},
		sdk.Cmdlet[accountParams]{
			Name:        "Set-ServiceAccount",
			Description: "Makes an SSO user with a password that Airlock keeps, and a role with the privileges of CloudAdmins.",
			Timeout:     5 * time.Minute,
			Run:         setServiceAccount,
		},
		sdk.Cmdlet[struct{}]{
			Name:        "Invoke-Failure",
			Description: "Writes on all streams, sets a secret and a named output, and fails: nothing of it is kept.",
			Run:         invokeFailure,
		},
		sdk.Cmdlet[sleepParams]{
			Name:        "Start-Sleep",
			Description: "Waits until the time is over, or until it is asked to end.",
			Run:         startSleep,
		},
	)
}
