// Command hello says that it runs, and ends when its standard output or the room does: the smallest script.
package main

import (
	"os"
	"time"
)

func main() {
	_, _ = os.Stdout.WriteString("!")
	time.Sleep(time.Hour)
}
