package sshd

import (
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

// System says which operating system a host pretends to run.
type System int

// The systems of a private cloud.
const (
	ESXi System = iota
	VCenter
)

func (s System) banner() string {
	if s == VCenter {
		return "SSH-2.0-Photon_simulated"
	}
	return "SSH-2.0-ESXi_simulated"
}

// uname gives sysname, release, version and machine.
func (s System) uname() [4]string {
	if s == VCenter {
		return [4]string{"Linux", "5.10.198-1.ph4", "#1-photon SMP", "x86_64"}
	}
	return [4]string{"VMkernel", "8.0.2", "#1 SMP Release build-22380479", "x86_64"}
}

func (h Host) shortName() string {
	name, _, _ := strings.Cut(h.Name, ".")
	return name
}

// shell runs command lines. It has no processes, variables, pipes or redirections.
type shell struct {
	host     Host
	booted   time.Time
	files    tree
	in       io.Reader // standard input of a command
	out, err io.Writer

	// Where an interactive shell's lines come from: one of the two.
	lines    io.Reader
	terminal io.ReadWriter
}

// commands is the closed set of what can be run. Each returns its exit status.
var commands = map[string]func(sh *shell, args []string) int{
	"cat":    (*shell).cat,
	"echo":   (*shell).echo,
	"esxcli": (*shell).esxcli,
	"ls":     (*shell).ls,
	"scp":    (*shell).scp,
	"uname":  (*shell).uname,
	"uptime": (*shell).uptime,
}

// run runs one line. end says that the shell was told to exit.
func (sh *shell) run(line string) (status int, end bool) {
	words, err := split(line)
	if err != nil {
		return sh.fail(2, "sh: %v", err), false
	}
	if len(words) == 0 {
		return 0, false
	}
	name, args := words[0], words[1:]
	if name == "exit" {
		return sh.exit(args)
	}
	command := commands[name]
	if command == nil || name == "esxcli" && sh.host.System != ESXi {
		return sh.fail(127, "sh: %s: not found", name), false
	}
	return command(sh, args), false
}

// fail reports what is wrong on standard error.
func (sh *shell) fail(status int, format string, args ...any) int {
	fmt.Fprintf(sh.err, format+"\n", args...)
	return status
}

func (sh *shell) exit(args []string) (int, bool) {
	if len(args) == 0 {
		return 0, true
	}
	status, err := strconv.ParseUint(args[0], 10, 8)
	if err != nil {
		return sh.fail(2, "sh: exit: %s: not a number from 0 to 255", args[0]), true
	}
	return int(status), true
}

func (sh *shell) echo(args []string) int {
	end := "\n"
	if len(args) > 0 && args[0] == "-n" {
		args, end = args[1:], ""
	}
	_, _ = io.WriteString(sh.out, strings.Join(args, " ")+end)
	return 0
}

func (sh *shell) uname(args []string) int {
	u := sh.host.System.uname()
	fields := []struct {
		flag rune
		text string
	}{{'s', u[0]}, {'n', sh.host.Name}, {'r', u[1]}, {'v', u[2]}, {'m', u[3]}}

	wanted := strings.TrimPrefix(strings.Join(args, ""), "-")
	if wanted == "" {
		wanted = "s"
	}
	var out []string
	for _, f := range fields {
		if strings.ContainsRune(wanted, f.flag) || strings.ContainsRune(wanted, 'a') {
			out = append(out, f.text)
		}
	}
	if len(out) == 0 {
		return sh.fail(1, "uname: unrecognized option: %s", strings.Join(args, " "))
	}
	fmt.Fprintln(sh.out, strings.Join(out, " "))
	return 0
}

func (sh *shell) uptime([]string) int {
	now := time.Now()
	up := now.Sub(sh.booted) + 12*24*time.Hour // a private cloud that was not made this minute
	fmt.Fprintf(sh.out, " %s up %d days, %02d:%02d:%02d, load average: 0.04, 0.07, 0.05\n", now.UTC().Format("15:04:05"),
		int(up.Hours())/24, int(up.Hours())%24, int(up.Minutes())%60, int(up.Seconds())%60)
	return 0
}

func (sh *shell) esxcli(args []string) int {
	switch strings.Join(args, " ") {
	case "system version get":
		fmt.Fprint(sh.out, "   Product: VMware ESXi\n   Version: 8.0.2\n   Build: Releasebuild-22380479\n   Update: 2\n   Patch: 25\n")
	case "system hostname get":
		fmt.Fprintf(sh.out, "   Domain Name: %s\n   Fully Qualified Domain Name: %s\n   Host Name: %s\n",
			strings.TrimPrefix(sh.host.Name, sh.host.shortName()+"."), sh.host.Name, sh.host.shortName())
	default:
		return sh.fail(1, "Error: Unknown command or namespace %s", strings.Join(args, " "))
	}
	return 0
}

func (sh *shell) cat(args []string) int {
	if len(args) == 0 {
		args = []string{"-"}
	}
	status := 0
	for _, name := range args {
		in := io.NopCloser(sh.in)
		if name != "-" {
			f, err := sh.files.open(name)
			if err != nil {
				status = sh.fail(1, "cat: can't open '%s': %s", name, reason(err))
				continue
			}
			in = f
		}
		_, err := io.Copy(sh.out, in)
		_ = in.Close()
		if err != nil {
			status = sh.fail(1, "cat: %s: %s", name, reason(err))
		}
	}
	return status
}

func (sh *shell) ls(args []string) int {
	var long, all bool
	var names []string
	for _, a := range args {
		if flags, ok := strings.CutPrefix(a, "-"); ok {
			long = long || strings.Contains(flags, "l")
			all = all || strings.ContainsAny(flags, "aA")
			continue
		}
		names = append(names, a)
	}
	if len(names) == 0 {
		names = []string{"/"}
	}
	status := 0
	for _, name := range names {
		infos, err := sh.files.list(name)
		if err != nil {
			status = sh.fail(1, "ls: %s: %s", name, reason(err))
			continue
		}
		if len(names) > 1 {
			fmt.Fprintf(sh.out, "%s:\n", name)
		}
		for _, i := range infos {
			if all || !strings.HasPrefix(i.Name(), ".") {
				sh.entry(i, long)
			}
		}
	}
	return status
}

func (sh *shell) entry(i fs.FileInfo, long bool) {
	if long {
		fmt.Fprintf(sh.out, "%s    1 root     root     %10d %s ", i.Mode(), i.Size(), i.ModTime().UTC().Format("Jan _2 15:04"))
	}
	fmt.Fprintln(sh.out, i.Name())
}
