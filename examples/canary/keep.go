package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"unicode/utf16"

	"github.com/airlock-run/airlock/sdk"
)

// keeper keeps bytes, and a file open.
type keeper struct {
	mu   sync.Mutex
	all  [][]byte
	file *os.File
}

func (k *keeper) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = append(k.all, slices.Clone(p))
	return len(p), nil
}

func (k *keeper) say(words ...any) { _, _ = fmt.Fprintln(k, words...) }

func (k *keeper) close() error { return k.file.Close() }

// listened is a connection of which all that arrives is kept.
type listened struct{ net.Conn }

func (l listened) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	_, _ = kept.Write(p[:n])
	return n, err
}

func reverse(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}

// plant leaves a text where a secret would be found: in memory in each form, in the output, in files, in the name of one
// that is open.
func plant(x *sdk.Execution, text string) error {
	kept.say(text)
	wide := []byte{}
	for _, u := range utf16.Encode([]rune(text)) {
		wide = append(wide, byte(u), byte(u>>8))
	}
	_, _ = kept.Write(wide)
	for shift := range 3 {
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			kept.say(encoding.EncodeToString([]byte("abc"[:shift] + text + "xyz")))
		}
	}
	kept.say(url.QueryEscape(text))
	kept.say(url.PathEscape(text))
	quoted, err := json.Marshal(text)
	kept.say(string(quoted))
	enc := json.NewEncoder(&kept)
	enc.SetEscapeHTML(false)
	var escaped bytes.Buffer
	err = errors.Join(err, enc.Encode(text), xml.EscapeText(&escaped, []byte(text)))
	kept.say(escaped.String())
	kept.say(hex.EncodeToString([]byte(text)))
	kept.say(fmt.Sprintf("%X", text))
	x.Output("planted: " + text)
	for _, dir := range []string{os.Getenv("HOME"), os.TempDir(), "/tmp"} {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, "planted-"+x.ID), []byte(text), 0o600))
	}
	if err != nil {
		return err
	}
	kept.file, err = os.Create(filepath.Join(os.Getenv("HOME"), text))
	return err
}

// maxLook is how much is kept of one file of /proc: some have no end.
const maxLook = 256 << 10

// lookAround keeps what the script sees in /proc: all of itself, and of others what tells the most.
func lookAround(context.Context, *sdk.Execution) error {
	look := func(path string) {
		f, err := os.Open(path)
		if err != nil {
			return
		}
		defer f.Close()
		data, _ := io.ReadAll(io.LimitReader(f, maxLook)) // what cannot be read tells nothing
		kept.say(path)
		_, _ = kept.Write(data)
	}
	err := filepath.WalkDir("/proc/self/", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil: // a thread that has ended, or what is closed to the script
		case entry.Type()&fs.ModeSymlink != 0:
			link, _ := os.Readlink(path)
			kept.say(path, link)
		case entry.Type().IsRegular():
			look(path)
		}
		return nil
	})
	others, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range others {
		for _, name := range []string{"environ", "cmdline", "maps", "status"} {
			look(filepath.Join(process, name))
		}
	}
	for _, entry := range os.Environ() {
		kept.say(strings.TrimSpace(entry))
	}
	return err
}
