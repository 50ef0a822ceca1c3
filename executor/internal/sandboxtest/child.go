package sandboxtest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/airlock-run/airlock/executor/internal/sandbox"
)

// description is what a child sees of the world.
type description struct {
	Args, Env      []string
	Dir, Home, Tmp string
	Descriptors    []int
	Stdin          int
}

// child is the program that runs in a room. It is told what to do by its arguments where a child has started it, else
// over descriptor 3.
func child() {
	behaviour := os.Args[1:]
	if len(behaviour) == 0 {
		told := os.NewFile(3, "told")
		if err := json.NewDecoder(told).Decode(&behaviour); err != nil {
			fatal(err)
		}
	}
	switch behaviour[0] {
	case "describe":
		describe()
	case "libraries":
		libraries(behaviour[1])
	case "trust":
		authorities, err := os.ReadFile(os.Getenv("SSL_CERT_FILE"))
		if err != nil {
			fatal(err)
		}
		fmt.Printf("%s\n%s", os.Getenv("HTTPS_PROXY"), authorities)
	case "exit":
		code, _ := strconv.Atoi(behaviour[1])
		os.Exit(code)
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "leave":
		descendant(behaviour[1])
	case "stay":
		if behaviour[1] == "alone" {
			hold(filepath.Join(os.Getenv("TMPDIR"), lock))
		} else {
			descendant(behaviour[1])
		}
		fmt.Println("ready")
		select {}
	case "sleep":
		hold(behaviour[1])
		fmt.Println("a descendant is up")
		select {}
	case "dial":
		c, err := dial(behaviour[1])
		if err != nil {
			fatal(err)
		}
		line, _ := bufio.NewReader(c).ReadString('\n')
		fmt.Print(line)
		select {}
	}
	os.Exit(0)
}

func describe() {
	d := description{Args: os.Args, Env: os.Environ(), Home: os.Getenv("HOME"), Tmp: os.Getenv("TMPDIR")}
	d.Dir, _ = os.Getwd()
	stdin, _ := io.ReadAll(os.Stdin)
	d.Stdin = len(stdin)
	for fd := range 256 {
		// Go's own descriptors (epoll, eventfd) are close-on-exec, inherited ones are not.
		flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0)
		if errno == 0 && flags&syscall.FD_CLOEXEC == 0 {
			d.Descriptors = append(d.Descriptors, fd)
		}
	}
	for name, dir := range map[string]string{"home": d.Home, "tmp": d.Tmp} {
		if err := os.WriteFile(filepath.Join(dir, name+"-was-here"), nil, 0o600); err != nil {
			fatal(err)
		}
	}
	_ = json.NewEncoder(os.Stdout).Encode(d)
}

// libraries tells what is in a directory of libraries, and whether it can be changed.
func libraries(dir string) {
	for _, name := range []string{"One", "Two.Part"} {
		text, err := os.ReadFile(filepath.Join(dir, name, "file"))
		if err != nil {
			fatal(err)
		}
		fmt.Println(name, string(text))
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		fmt.Println(entries, err)
	}
	fmt.Println(os.WriteFile(filepath.Join(dir, "One", "file"), []byte("changed"), 0o600))
	fmt.Println(os.Mkdir(filepath.Join(dir, "Three"), 0o700))
	fmt.Println(syscall.Mknod(filepath.Join(dir, "One", "device"), syscall.S_IFCHR, 1<<8|3))
}

// descendant starts a child of the child that does not end by itself, and waits until it is up.
func descendant(kind string) {
	c := exec.Command(os.Args[0], "sleep", filepath.Join(os.Getenv("TMPDIR"), lock))
	switch kind {
	case "group":
		c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	case "session":
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	case "daemon": // has left all but our output
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		c.Env, c.Dir = []string{"A=1"}, "/"
	case "detached": // has left all but where it stands
		syscall.CloseOnExec(3)
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		c.Env = []string{"A=1"}
	}
	// Its first words come over a pipe of its own.
	up, in, err := os.Pipe()
	if err != nil {
		fatal(err)
	}
	c.Stdout = in
	if kind != "detached" {
		c.Stderr = os.Stdout
	}
	if err := c.Start(); err != nil {
		fatal(err)
	}
	if _, err := up.Read(make([]byte, 1)); err != nil {
		fatal(err)
	}
}

// hold locks a file for as long as the process lives.
func hold(path string) {
	fd, err := syscall.Open(path, syscall.O_CREAT|syscall.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err == nil {
		err = syscall.Flock(fd, syscall.LOCK_SH)
	}
	if err != nil {
		fatal(err)
	}
}

// server is an Airlock that is going to be killed: it starts a process, and waits.
func server(suites []Suite) {
	dir, exe, kind := os.Args[2], os.Args[3], os.Args[4]
	suite := suites[slices.IndexFunc(suites, func(s Suite) bool { return s.Name == os.Args[1] })]
	s, err := suite.Open()
	if err != nil {
		fatal(err)
	}
	r, err := s.Open(context.Background(), sandbox.Place{Dir: dir, Package: filepath.Dir(exe), Runtime: suite.Runtime})
	if err != nil {
		fatal(err)
	}
	told, tell, err := os.Pipe()
	if err != nil {
		fatal(err)
	}
	if err := json.NewEncoder(tell).Encode([]string{"stay", kind}); err != nil {
		fatal(err)
	}
	if _, err := r.Start(sandbox.Command{Path: exe, Stdout: os.Stdout, Stderr: os.Stdout, Files: []*os.File{told}}); err != nil {
		fatal(err)
	}
	select {}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "sandboxtest:", err)
	os.Exit(1)
}
