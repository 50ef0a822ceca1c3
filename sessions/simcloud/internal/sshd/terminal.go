package sshd

import (
	"bufio"
	"bytes"
	"io"
)

// maxLine bounds a command line, in bytes.
const maxLine = 64 << 10

// interact runs the lines that come in, until they end, "exit" or an error.
func (sh *shell) interact() int {
	if sh.terminal == nil {
		return sh.script(bufio.NewReaderSize(sh.lines, maxLine))
	}
	status, end := 0, false
	in := bufio.NewReader(sh.terminal)
	for !end {
		_, _ = io.WriteString(sh.terminal, "["+sh.host.User+"@"+sh.host.shortName()+":~] ")
		line, err := sh.edit(in)
		if err != nil {
			break
		}
		status, end = sh.run(line)
	}
	return status
}

// script runs lines without a terminal.
func (sh *shell) script(in *bufio.Reader) int {
	status, end := 0, false
	for !end {
		line, err := in.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			return sh.fail(2, "sh: line longer than %d bytes", maxLine)
		}
		if len(bytes.TrimSpace(line)) > 0 {
			status, end = sh.run(string(line))
		}
		if err != nil {
			break
		}
	}
	return status
}

// The control characters that a terminal in its usual mode acts upon.
const (
	interrupt = 'C' - '@'
	endOfFile = 'D' - '@'
	backspace = '\b'
	erase     = 0x7f
)

// edit reads one line from a terminal and echoes it, as a terminal driver does.
func (sh *shell) edit(in *bufio.Reader) (string, error) {
	var line []byte
	for {
		b, err := in.ReadByte()
		if err != nil {
			return "", err
		}
		echo := []byte{b}
		switch {
		case b == '\r' || b == '\n':
			_, err = io.WriteString(sh.terminal, "\r\n")
			return string(line), err
		case b == endOfFile && len(line) == 0:
			return "", io.EOF
		case b == interrupt:
			_, err = io.WriteString(sh.terminal, "^C\r\n")
			return "", err
		case b == backspace || b == erase:
			if len(line) == 0 {
				continue
			}
			line, echo = line[:len(line)-1], []byte("\b \b")
		case b < ' ' || len(line) == maxLine:
			continue
		default:
			line = append(line, b)
		}
		if _, err := sh.terminal.Write(echo); err != nil {
			return "", err
		}
	}
}

// crlf writes LF as CR LF.
type crlf struct{ w io.Writer }

func (c crlf) Write(p []byte) (int, error) {
	if _, err := c.w.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n"))); err != nil {
		return 0, err
	}
	return len(p), nil
}
