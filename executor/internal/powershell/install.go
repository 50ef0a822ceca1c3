package powershell

import (
	"bytes"
	"cmp"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/airlock-run/airlock/executor/internal/loader"
	"github.com/airlock-run/airlock/executor/internal/sandbox"
	"github.com/airlock-run/airlock/internal/errors"
)

// Install is a PowerShell on this machine, in any of the forms that it is given out in: a directory that brings its own .NET
// (the archives and packages of the PowerShell team), one that uses the machine's, or a .NET tool; or a script that starts one
// of these, as distributions have it.
type Install struct {
	Path  string   // without symbolic links
	Files []string // what it needs of the machine

	program string   // what is started: that at Path, what the script there starts, or .NET
	args    []string // of it, before PowerShell's own
	home    string   // $PSHOME: the directory with its modules
	dotnet  string   // root of the machine's .NET, as a script has set it
	env     []string // what it has to be told of Files
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
	i.Path, i.program = real, real
	if how := i.findProgram(); how != "" {
		return Install{}, i.broken(nil, how)
	}
	needed, err := loader.New(i.program)
	if err != nil {
		return Install{}, i.broken(err, "is no program for this machine ("+err.Error()+")")
	}
	needed.AddProgram(i.program)
	i.addHome(needed)
	i.addLibraries(needed)
	i.Files = needed.Paths()
	return i, nil
}

// application is the file by which PowerShell's directory is known, and which .NET runs.
const application = "pwsh.dll"

// What a script that starts PowerShell says: where that is, and where its .NET.
var (
	started     = regexp.MustCompile(`/[^\s"'$]*/pwsh(\.dll)?\b`)
	itsDotnet   = regexp.MustCompile(`\bDOTNET_ROOT=["']?(/[^\s"'$;]+)`)
	maxScript   = int64(64 << 10) // bytes that are read of it
	scriptBegin = []byte("#!")
)

// findProgram finds what is to be started, and says why it cannot be, "" where it may be.
func (i *Install) findProgram() (how string) {
	info, err := os.Stat(i.program)
	switch {
	case err != nil || !info.Mode().IsRegular():
		return "is no file"
	case filepath.Base(i.program) == application:
		if i.dotnet = cmp.Or(i.dotnet, dotnet()); i.dotnet == "" {
			return "needs .NET, which is not there"
		}
		i.home, i.args, i.program = filepath.Dir(i.program), []string{i.program}, filepath.Join(i.dotnet, "dotnet")
		return ""
	case info.Mode().Perm()&0o111 == 0:
		return "is not executable"
	}
	i.home = filepath.Dir(i.program)
	f, err := os.Open(i.program)
	if err != nil {
		return "cannot be read by the user that runs Airlock"
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxScript))
	if err != nil || !bytes.HasPrefix(text, scriptBegin) {
		return ""
	}
	if root := itsDotnet.FindSubmatch(text); root != nil {
		i.dotnet, _ = filepath.EvalSymlinks(string(root[1]))
	}
	for _, name := range started.FindAll(text, -1) {
		real, err := filepath.EvalSymlinks(string(name))
		if err == nil && real != i.program && !isScript(real) {
			i.program = real
			return i.findProgram()
		}
	}
	return "is a script in which no program of PowerShell is named: name that program in its place"
}

// isScript says whether a file is a script, or cannot be read.
func isScript(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return true
	}
	defer f.Close()
	begin := make([]byte, len(scriptBegin))
	_, err = io.ReadFull(f, begin)
	return err != nil || bytes.Equal(begin, scriptBegin)
}

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
	root := cmp.Or(i.dotnet, dotnet())
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

// modulePath is where a cmdlet finds modules: the package with its libraries, and PowerShell's own.
func (i Install) modulePath(libraries string) string {
	return libraries + ":" + filepath.Join(i.home, "Modules")
}

// command starts a server of the remoting protocol on standard input and output. When PowerShell starts, it puts its own modules
// before those of PSModulePath, so that what prepares it reads, and loads, none of the libraries. The other variables make .NET
// and PowerShell open nothing that others could connect to, send nothing, look for no newer version, and do without a memory
// file that the sandbox refuses.
func (i Install) command(libraries string, env []string) sandbox.Command {
	all := []string{
		"PSModulePath=" + libraries,
		"DOTNET_EnableDiagnostics=0", "DOTNET_EnableWriteXorExecute=0",
		"POWERSHELL_DIAGNOSTICS_OPTOUT=1", "POWERSHELL_TELEMETRY_OPTOUT=1", "POWERSHELL_UPDATECHECK=Off",
	}
	return sandbox.Command{
		Path: i.program, Args: append(slices.Clip(i.args), "-s", "-NoLogo", "-NoProfile"), Env: append(append(all, i.env...), env...),
	}
}

// Advice is how errors about PowerShell end.
const Advice = "; see what `airlock doctor` says on the server."

// broken says for a user that this PowerShell does not work.
func (i Install) broken(err error, how string) error {
	return errors.Because(err, errors.ScriptRuntimeMissing, "The PowerShell at %s %s%s", i.Path, how, Advice)
}
