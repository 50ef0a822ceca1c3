// Command torture is a script package for Airlock's own tests: cmdlets that misbehave in each way that Airlock has to
// bear. It is no example to follow.
package main

import (
	"os"
	"time"

	"github.com/airlock-run/airlock/sdk"
)

func main() {
	if os.Getenv(asChild) != "" {
		child()
	}
	sdk.Main(
		sdk.Package{Name: "Airlock.Examples.Torture", Version: "1.0.0", Description: "Misbehaves, for Airlock's tests."},
		sdk.Cmdlet[linesParams]{Name: "Write-Lines", Description: "Writes lines on four streams from several goroutines.", Run: writeLines},
		sdk.Cmdlet[secretParams]{Name: "Write-Secret", Description: "Prints secrets in many forms.", Run: writeSecret},
		sdk.Cmdlet[newSecretParams]{Name: "New-Secret", Description: "Makes a secret and prints it before and after it is set.", Run: newSecret},
		sdk.Cmdlet[logParams]{Name: "Write-Log", Description: "Notes its start and end in a file.", Timeout: time.Minute, Run: writeLog},
		sdk.Cmdlet[struct{}]{Name: "Write-Binary", Description: "Writes what is not UTF-8.", Run: writeBinary},
		sdk.Cmdlet[hugeParams]{Name: "Write-Huge", Description: "Writes more than is allowed.", Run: writeHuge},
		sdk.Cmdlet[bigOutputParams]{Name: "Set-BigOutput", Description: "Sets a named output of a given size.", Run: setBigOutput},
		sdk.Cmdlet[childrenParams]{Name: "Start-Children", Description: "Leaves processes behind.", Run: startChildren},
		sdk.Cmdlet[hardParams]{Name: "Stop-Hard", Description: "Ends without a word.", Run: stopHard},
		sdk.Cmdlet[ignoreParams]{Name: "Ignore-Cancel", Description: "Goes on when asked to end.", Run: ignoreCancel},
		sdk.Cmdlet[networkParams]{Name: "Test-Network", Description: "Says what it reaches.", Run: testNetwork},
		sdk.Cmdlet[amountParams]{Name: "Use-Memory", Description: "Takes memory.", Run: useMemory},
		sdk.Cmdlet[amountParams]{Name: "Write-Files", Description: "Fills its work directory.", Run: writeFiles},
		sdk.Cmdlet[allParams]{Name: "Test-Parameters", Description: "Says what it got.", Run: testParameters},
	)
}
