package sshd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
)

// scp is the far end of the old copying protocol, which has no document but OpenSSH's source (scp.c): the client runs
// "scp -t TARGET" here to send files and "scp -f SOURCE" to get them. Each message is answered with a zero byte, or with
// 1, words and a line feed.
type scp struct {
	sh                    *shell
	in                    *bufio.Reader
	recursive, keepsTimes bool
}

func (sh *shell) scp(args []string) int {
	c := scp{sh: sh, in: bufio.NewReader(sh.in)}
	var flags, names []string
	for _, a := range args {
		if strings.HasPrefix(a, "-") {
			flags = append(flags, a[1:])
		} else {
			names = append(names, a)
		}
	}
	set := strings.Join(flags, "")
	c.recursive, c.keepsTimes = strings.Contains(set, "r"), strings.Contains(set, "p")
	var err error
	switch {
	case strings.Contains(set, "t") && len(names) == 1:
		err = c.sink(names[0], strings.Contains(set, "d"))
	case strings.Contains(set, "f") && len(names) > 0:
		err = c.source(names)
	default:
		return sh.fail(1, "scp: the simulated host knows -t and -f")
	}
	if err != nil {
		fmt.Fprintf(sh.out, "\x01scp: %s\n", err)
		return 1
	}
	return 0
}

func (c scp) ok() error {
	_, err := c.sh.out.Write([]byte{0})
	return err
}

// confirmed reads the client's answer.
func (c scp) confirmed() error {
	b, err := c.in.ReadByte()
	if err != nil || b == 0 {
		return err
	}
	words, _ := c.in.ReadSlice('\n')
	return fmt.Errorf("the client says %q", words)
}

// sink takes what the client sends into target.
func (c scp) sink(target string, mustBeDir bool) error {
	info, err := c.sh.files.root.Stat(local(target))
	into := err == nil && info.IsDir()
	if mustBeDir && !into {
		return fmt.Errorf("%s: Not a directory", target)
	}
	var above []string // the directories that are being filled
	for err := c.ok(); ; err = c.ok() {
		if err != nil {
			return err
		}
		slice, err := c.in.ReadSlice('\n') // 4 KiB at most
		if err == io.EOF {
			return nil // the client has nothing more to send
		}
		line := string(slice)
		if err == nil && line[0] == 'T' { // times are not kept
			continue
		}
		if line[0] == 'E' && len(above) > 0 {
			target, above = above[len(above)-1], above[:len(above)-1]
			into = true
			continue
		}
		var mode fs.FileMode
		var size int64
		n, _ := fmt.Sscanf(line[1:], "%o %d ", &mode, &size)
		words := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 3)
		if n != 2 || len(words) != 3 || size < 0 || strings.Contains(words[2], "/") || words[2] == ".." {
			return fmt.Errorf("protocol error: %q", line)
		}
		name := words[2]
		to := target
		if into {
			to = path.Join(target, name)
		}
		switch {
		case line[0] == 'D' && c.recursive:
			if err := c.sh.files.root.Mkdir(local(to), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%s: %s", to, reason(err))
			}
			above, target, into = append(above, target), to, true
		case line[0] == 'C':
			if err := c.take(to, mode.Perm(), size); err != nil {
				return fmt.Errorf("%s: %s", to, reason(err))
			}
		default:
			return fmt.Errorf("protocol error: %q", line)
		}
	}
}

func (c scp) take(name string, mode fs.FileMode, size int64) error {
	f, err := c.sh.files.root.OpenFile(local(name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := c.ok(); err != nil {
		return err
	}
	if _, err := io.CopyN(f, c.in, size); err != nil {
		return err
	}
	if err := c.confirmed(); err != nil {
		return err
	}
	return f.Close()
}

// source sends files to the client.
func (c scp) source(names []string) error {
	if err := c.confirmed(); err != nil {
		return err
	}
	for _, name := range names {
		if err := c.give(name); err != nil {
			return err
		}
	}
	return nil
}

// say sends a message and waits for its answer.
func (c scp) say(format string, args ...any) error {
	if _, err := fmt.Fprintf(c.sh.out, format+"\n", args...); err != nil {
		return err
	}
	return c.confirmed()
}

func (c scp) give(name string) error {
	info, err := c.sh.files.root.Stat(local(name))
	if err != nil {
		return fmt.Errorf("%s: %s", name, reason(err))
	}
	if info.IsDir() && !c.recursive {
		return fmt.Errorf("%s: not a regular file", name)
	}
	if c.keepsTimes {
		if err := c.say("T%d 0 %d 0", info.ModTime().Unix(), time.Now().Unix()); err != nil {
			return err
		}
	}
	if info.IsDir() {
		return c.giveDir(name, info)
	}
	f, err := c.sh.files.open(name)
	if err != nil {
		return fmt.Errorf("%s: %s", name, reason(err))
	}
	defer f.Close()
	if err := c.say("C%04o %d %s", info.Mode().Perm(), info.Size(), path.Base(name)); err != nil {
		return err
	}
	if _, err := io.CopyN(c.sh.out, f, info.Size()); err != nil {
		return err
	}
	if err := c.ok(); err != nil {
		return err
	}
	return c.confirmed()
}

func (c scp) giveDir(name string, info fs.FileInfo) error {
	entries, err := c.sh.files.list(name)
	if err != nil {
		return fmt.Errorf("%s: %s", name, reason(err))
	}
	if err := c.say("D%04o 0 %s", info.Mode().Perm(), path.Base(name)); err != nil {
		return err
	}
	for _, e := range entries {
		if err := c.give(path.Join(name, e.Name())); err != nil {
			return err
		}
	}
	return c.say("E")
}
