// Package sdk is for vendors who write the cmdlets of a script package in Go.
//
// A package is one program: it says what it is, declares its cmdlets, and leaves the rest to Main.
//
//	func main() {
//		sdk.Main(
//			sdk.Package{Name: "Contoso.Backup", Version: "1.2.0", Description: "Backs up virtual machines."},
//			sdk.Cmdlet[backupParams]{
//				Name:        "Start-Backup",
//				Description: "Backs up the virtual machines of one cluster.",
//				Timeout:     20 * time.Minute,
//				Run:         startBackup,
//			},
//		)
//	}
//
//	type backupParams struct {
//		Cluster string         `description:"which cluster"`
//		Keep    *int           `description:"how many backups to keep, all by default"`
//		Target  sdk.Credential `airlock:"optional" description:"login at the backup server"`
//	}
//
//	func startBackup(ctx context.Context, x *sdk.Execution, p backupParams) error {
//		x.Output("backing up " + p.Cluster)
//		…
//	}
//
// "airlock package pack" reads the declarations from the source, so the literals have to be constant and the program
// is never run to learn them. Airlock runs it once for each execution, with no credential: vCenter (package
// sdk/vcenter, the only one that links govmomi) and the SSH servers of the hosts are reached through the session
// broker, with capabilities that end with the execution.
//
// The program holds no login, but it holds the parameters and persistent secrets that it was given: they have the type
// SecureString, which prints as [redacted].
package sdk

import (
	"fmt"
	"io"
	"net"
	"os"

	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/sdk/wire"
)

// Package says what a script package is. Its fields are constants in the source.
type Package struct {
	Name        string // at most 100 letters, digits, '.', '_' or '-'
	Version     string // of the form 1.2.3, perhaps with -dev or -preview
	Description string
	Company     string
	ProjectURI  string
}

// SecureString is a string that is kept from sight; Reveal is the way to its value.
type SecureString = secret.Text

// Credential is a user name with its password.
type Credential struct {
	Username string
	Password SecureString
}

// Main runs the cmdlet that Airlock asks for and ends the program. Started by hand it says what the program is and
// exits with code 2.
//
// The exit code is 0 once the end of the cmdlet, good or bad, has been told to Airlock, and 1 where the conversation
// with Airlock broke off.
func Main(p Package, cmdlets ...Declared) {
	conn, err := inherited(wire.FD)
	if err != nil {
		usage(os.Stderr, p, cmdlets)
		os.Exit(2)
	}
	if err := run(conn, p, cmdlets); err != nil {
		fmt.Fprintln(os.Stderr, "the conversation with Airlock broke off:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// inherited takes over the socket that Airlock left at a descriptor. No child process inherits it in turn.
func inherited(fd uintptr) (net.Conn, error) {
	f := os.NewFile(fd, "airlock")
	if f == nil {
		return nil, os.ErrNotExist
	}
	conn, err := net.FileConn(f) // of a copy, which is closed on exec
	if err != nil {
		return nil, err // and leave alone what is not ours
	}
	return conn, f.Close()
}

func usage(w io.Writer, p Package, cmdlets []Declared) {
	fmt.Fprintf(w, "This is the script package %s %s. Airlock runs it; by hand it does nothing.\n", p.Name, p.Version)
	m, err := declarations(p, cmdlets)
	if err != nil {
		fmt.Fprintf(w, "Its declarations have a mistake: %v\n", err)
	}
	for _, c := range m.Cmdlets {
		fmt.Fprintf(w, "  %-30s %s\n", c.Name, c.Description)
	}
	fmt.Fprintln(w, "To pack it, run this where its sources are: airlock package pack .")
}

// declarations is the manifest that reading the package's source results in, but for its binaries.
func declarations(p Package, cmdlets []Declared) (manifest.Manifest, error) {
	m := manifest.Manifest{
		ManifestVersion: manifest.Version, Runtime: manifest.Go,
		Name: p.Name, Version: p.Version, Description: p.Description, Company: p.Company, ProjectURI: p.ProjectURI,
	}
	for _, c := range cmdlets {
		d, err := c.declare()
		if err != nil {
			return m, err
		}
		m.Cmdlets = append(m.Cmdlets, d)
	}
	return m, m.Validate()
}
