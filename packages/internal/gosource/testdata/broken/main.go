// Command broken does not compile.
package main

import "github.com/airlock-run/airlock/sdk"

func main() {
	sdk.Main(sdk.Package{Name: 1})
}
