package powershell

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/airlock-run/airlock/executor/internal/loader"
	"github.com/airlock-run/airlock/executor/internal/sandbox"
	"github.com/airlock-run/airlock/internal/errors"
)

// Install is a PowerShell on this machine, in any of the forms that it is given out in: a directory that brings its own .NET
// (the archives and packages of the PowerShell team), one that uses the machine's, or a .NET tool.
type Install struct {
	Path  string   // of the program, without symbolic links
	Files []string // what it needs of the machine
	home  string   // $PSHOME: the directory with its modules
	env   []string // what it has to be told of Files
}

// Find looks at the PowerShell at a path, and finds what it needs. It does not start it.
func Find(path string) (Install, error) {
	if path == "" {
		return Install{}, errors.Newf(errors.ScriptRuntimeMissing, "This server has no PowerShell to run the cmdlet%s", Advice)
	}
	i := Install{Path: path}
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return Install{}, errors.Because(err, errors.ScriptRuntimeMissing, "There is no PowerShell at %s%s", path, Advice)
	}
	if how := wrong(real); how != "" {
		return Install{}, i.broken(nil, how)
	}
	needed, err := loader.New(real)
	if err != nil {
		return Install{}, i.broken(err, "is no program for this machine ("+err.Error()+")")
	}
	i.Path, i.home = real, filepath.Dir(real)
	needed.AddProgram(real)
	i.addHome(needed)
	i.addLibraries(needed)
	i.Files = needed.Paths()
	return i, nil
}

// wrong says why a file is no program, "" where it may be one.
func wrong(path string) string {
	info, err := os.Stat(path)
	switch {
	case err != nil || !info.Mode().IsRegular():
		return "is no file"
	case info.Mode().Perm()&0o111 == 0:
		return "is not executable"
	}
	f, err := os.Open(path)
	if err != nil {
		return "cannot be read by the user that runs Airlock"
	}
	defer f.Close()
	if begin := make([]byte, 2); isScript(f, begin) {
		return "is a script and not PowerShell's own program: name the one that it starts"
	}
	return ""
}

func isScript(f fs.File, begin []byte) bool {
	n, err := f.Read(begin)
	return err == nil && bytes.Equal(begin[:n], []byte("#!"))
}

// application is the file by which PowerShell's directory is known.
const application = "pwsh.dll"

// addHome finds PowerShell's own files, and its .NET where that is elsewhere.
func (i *Install) addHome(f *loader.Finder) {
	at := i.home
	if !exists(filepath.Join(i.home, application)) { // the program of a .NET tool knows its place by a relative path
		at = filepath.Join(i.home, ".store", "powershell")
		found, _ := filepath.Glob(filepath.Join(at, "*", "*", "*", "tools", "*", "*", application))
		if len(found) == 0 {
			return
		}
		i.home = filepath.Dir(found[len(found)-1])
	}
	f.AddTree(at)
	if exists(filepath.Join(i.home, "libcoreclr.so")) {
		return
	}
	root := dotnet()
	if root == "" {
		return // it says so itself
	}
	f.AddTree(filepath.Join(root, "host"))
	f.AddTree(filepath.Join(root, "shared", "Microsoft.NETCore.App"))
	i.env = append(i.env, "DOTNET_ROOT="+root)
}

// addLibraries finds the libraries that .NET loads by their names where they are there.
func (i *Install) addLibraries(f *loader.Finder) {
	if !f.AddNewest("libicuuc.so.", "libicui18n.so.") {
		i.env = append(i.env, "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1")
	}
	for _, name := range []string{
		"libssl.so.3", "libssl.so.1.1", "libgssapi_krb5.so.2", "libgcc_s.so.1", "libnss_files.so.2", "libresolv.so.2", "libz.so.1",
	} {
		f.AddLibrary(name)
	}
	_, _ = f.Add("/usr/share/zoneinfo")
	if search := f.Search(); len(search) > 0 {
		i.env = append(i.env, "LD_LIBRARY_PATH="+strings.Join(search, ":"))
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// dotnet is the directory of the machine's .NET, "" where there is none: what the variable says, where dotnet-install.sh puts it,
// what is noted where installers note it, what `dotnet` leads to, and where distributions have it.
func dotnet() string {
	places := []string{os.Getenv("DOTNET_ROOT"), filepath.Join(os.Getenv("HOME"), ".dotnet")}
	for _, note := range []string{"/etc/dotnet/install_location", "/etc/dotnet/install_location_x64", "/etc/dotnet/install_location_arm64"} {
		if text, err := os.ReadFile(note); err == nil {
			places = append(places, strings.TrimSpace(string(text)))
		}
	}
	if path, err := exec.LookPath("dotnet"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			places = append(places, filepath.Dir(real))
		}
	}
	for _, root := range append(places, "/usr/lib/dotnet", "/usr/share/dotnet", "/usr/local/share/dotnet", "/usr/lib64/dotnet") {
		if real, err := filepath.EvalSymlinks(root); err == nil && filepath.IsAbs(real) && exists(filepath.Join(real, "host", "fxr")) {
			return real
		}
	}
	return ""
}

// modulePath is where PowerShell finds modules: the package with its libraries, and PowerShell's own.
func (i Install) modulePath(libraries string) string {
	return libraries + ":" + filepath.Join(i.home, "Modules")
}

// command starts a server of the remoting protocol on standard input and output. The variables make .NET and PowerShell open
// nothing that others could connect to, send nothing, look for no newer version, and do without a memory file that the
// sandbox refuses.
func (i Install) command(libraries string, env []string) sandbox.Command {
	all := []string{
		"PSModulePath=" + i.modulePath(libraries),
		"DOTNET_EnableDiagnostics=0", "DOTNET_EnableWriteXorExecute=0",
		"POWERSHELL_DIAGNOSTICS_OPTOUT=1", "POWERSHELL_TELEMETRY_OPTOUT=1", "POWERSHELL_UPDATECHECK=Off",
	}
	return sandbox.Command{Path: i.Path, Args: []string{"-s", "-NoLogo", "-NoProfile"}, Env: append(append(all, i.env...), env...)}
}

// Advice is how errors about PowerShell end.
const Advice = "; see what `airlock doctor` says on the server."

// broken says for a user that this PowerShell does not work.
func (i Install) broken(err error, how string) error {
	return errors.Because(err, errors.ScriptRuntimeMissing, "The PowerShell at %s %s%s", i.Path, how, Advice)
}
