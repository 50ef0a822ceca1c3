// Command script is the executable of the package that the runtimes' suite and the executor's tests run.
package main

import "github.com/airlock-run/airlock/executor/internal/runtimetest"

func main() { runtimetest.Script() }
