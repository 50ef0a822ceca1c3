package sftpwatch

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pkg/sftp"
)

// log keeps what is reported, one line each.
type log struct{ lines []string }

func (l *log) add(o Op) {
	line := fmt.Sprintf("%s %s %s %s", o.Name, o.Path, o.Detail, o.Result)
	if o.Name == "close" {
		line += fmt.Sprintf(" read=%d written=%d", o.Read, o.Written)
	}
	l.lines = append(l.lines, strings.Join(strings.Fields(line), " "))
}

// follow passes bytes on as a proxy does, and fails the test where the session cannot be followed.
func follow(t *testing.T, to io.WriteCloser, from io.Reader, take func([]byte) error) {
	defer to.Close()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if err := take(buf[:n]); err != nil {
				t.Errorf("cannot be followed: %v", err)
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// TestFollowsAClient has pkg/sftp's client and server talk through the watch, on real files.
func TestFollowsAClient(t *testing.T) {
	t.Parallel()
	var l log
	w := New(l.add)
	client, nearClient := net.Pipe()
	nearServer, host := net.Pipe()
	var all sync.WaitGroup
	all.Go(func() { follow(t, nearServer, nearClient, w.Request) })
	all.Go(func() { follow(t, nearClient, nearServer, w.Answer) })
	server, err := sftp.NewServer(host)
	if err != nil {
		t.Fatal(err)
	}
	all.Go(func() { _ = server.Serve(); _ = host.Close() })
	c, err := sftp.NewClientPipe(client, client)
	if err != nil {
		t.Fatal(err)
	}

	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.Mkdir(in("d")))
	f, err := c.Create(in("a"))
	must(err)
	_, err = f.ReadFrom(strings.NewReader(strings.Repeat("x", 300_000)))
	must(err)
	must(f.Chmod(0o600))
	must(f.Close())
	must(c.Rename(in("a"), in("b")))
	must(c.PosixRename(in("b"), in("c")))
	must(c.Link(in("c"), in("hard")))
	must(c.Symlink(in("c"), in("soft")))
	f, err = c.Open(in("soft"))
	must(err)
	n, err := io.Copy(io.Discard, f)
	must(err)
	if n != 300_000 {
		t.Errorf("%d bytes were read", n)
	}
	must(f.Close())
	must(c.Truncate(in("c"), 7))
	if _, err := c.ReadDir(dir); err != nil {
		t.Error(err)
	}
	_, _ = c.Open(in("missing"))
	_ = c.Remove(in("missing"))
	must(c.Remove(in("hard")))
	must(c.RemoveDirectory(in("d")))
	left, err := c.OpenFile(in("c"), os.O_WRONLY)
	must(err)
	_, err = left.Write([]byte("12345"))
	must(err)
	_ = c.Close()
	all.Wait()
	w.End()

	want := strings.ReplaceAll(`mkdir /d ok
open /a read,write,create,truncate ok
setstat /a mode=0600 ok
close /a ok read=0 written=300000
rename /a to /b ok
posix-rename /b to /c ok
hardlink /c to /hard ok
symlink /soft to /c ok
open /soft read ok
close /soft ok read=300000 written=0
setstat /c size=7 ok
opendir / ok
open /missing read no-such-file
remove /missing no-such-file
rmdir /missing no-such-file
remove /hard ok
rmdir /d ok
open /c write ok
close /c cut read=0 written=5`, " /", " "+dir+"/")
	want = strings.Replace(want, "opendir "+dir+"/", "opendir "+dir, 1)
	if got := strings.Join(l.lines, "\n"); got != want {
		t.Errorf("reported\n%s\nwant\n%s", got, want)
	}
}

// packet makes one of its kind, id and fields: numbers, strings with their length before them, and raw bytes.
func packet(kind byte, id uint32, fields ...any) []byte {
	p := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 0, kind}, id)
	for _, f := range fields {
		switch f := f.(type) {
		case int:
			p = binary.BigEndian.AppendUint32(p, uint32(f))
		case uint64:
			p = binary.BigEndian.AppendUint64(p, f)
		case string:
			p = append(binary.BigEndian.AppendUint32(p, uint32(len(f))), f...)
		case []byte:
			p = append(p, f...)
		}
	}
	binary.BigEndian.PutUint32(p, uint32(len(p)-frame))
	return p
}

// said is what one side says.
type said struct {
	byServer bool
	bytes    []byte
}

func client(b []byte) said { return said{false, b} }
func server(b []byte) said { return said{true, b} }

var hello = []said{client(packet(kindInit, 3)), server(packet(kindVersion, 3, "newline@vandyke.com", "\n"))}

// opened is a session with a file x under the handle h.
var opened = append(slices.Clone(hello), client(packet(kindOpen, 1, "x", 2, 0)), server(packet(kindHandle, 1, "h")))

// play feeds what was said in pieces of at most n bytes, until an error.
func play(talk []said, n int) (l log, err error) {
	w := New(l.add)
	defer func() { w.End() }()
	for _, s := range talk {
		take := w.Request
		if s.byServer {
			take = w.Answer
		}
		for piece := range slices.Chunk(s.bytes, n) {
			if err = take(piece); err != nil {
				return l, err
			}
		}
	}
	return l, nil
}

func TestReports(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		talk []said
		want string
	}{
		"answers in another order": {append(slices.Clone(hello),
			client(packet(kindRemove, 1, "one")), client(packet(kindRmdir, 2, "two")),
			server(packet(kindStatus, 2, 0, "", "")), server(packet(kindStatus, 1, 3, "", ""))), "rmdir two ok; remove one permission-denied"},
		"no answer": {append(slices.Clone(hello), client(packet(kindRemove, 1, "one"))), "remove one cut"},
		"a write that fails": {append(slices.Clone(opened),
			client(packet(kindWrite, 2, "h", uint64(0), "abc")), server(packet(kindStatus, 2, 0)),
			client(packet(kindWrite, 3, "h", uint64(3), "def")), server(packet(kindStatus, 3, 4)),
			client(packet(kindClose, 4, "h")), server(packet(kindStatus, 4, 0))), "open x write ok; close x failure read=0 written=3"},
		"a handle that nobody gave": {append(slices.Clone(hello),
			client(packet(kindWrite, 2, "h", uint64(0), "abc")), server(packet(kindStatus, 2, 4)),
			client(packet(kindClose, 3, "h")), server(packet(kindStatus, 3, 4))), ""},
		"all attributes": {append(slices.Clone(hello),
			client(packet(kindSetstat, 2, "p", 15, uint64(9), 1, 2, 0o100755, 0, 60)), server(packet(kindStatus, 2, 0))),
			"setstat p size=9 owner=1:2 mode=0755 modified=1970-01-01T00:01:00Z ok"},
		"lsetstat": {append(slices.Clone(hello),
			client(packet(kindExtended, 2, "lsetstat@openssh.com", "p", 4, 0o644)), server(packet(kindStatus, 2, 0))), "lsetstat p mode=0644 ok"},
		"copy-data": {append(slices.Clone(opened), client(packet(kindOpen, 2, "y", 1, 0)), server(packet(kindHandle, 2, "i")),
			client(packet(kindExtended, 3, "copy-data", "i", uint64(0), uint64(0), "h", uint64(0))), server(packet(kindStatus, 3, 0))),
			"open x write ok; open y read ok; copy-data y 0 bytes to x ok; close x cut read=0 written=0; close y cut read=0 written=0"},
		"an unknown extension": {append(slices.Clone(hello),
			client(packet(kindExtended, 3, "wipe@example.com", "all")), server(packet(kindStatus, 3, 8))), "extended wipe@example.com unsupported"},
		"looking": {append(slices.Clone(hello),
			client(packet(kindExtended, 3, "statvfs@openssh.com", "/")), server(packet(kindExtendedReply, 3, uint64(1))),
			client(packet(kindStat, 4, "/")), server(packet(kindAttrs, 4, 0)),
			client(packet(kindRealpath, 5, ".")), server(packet(kindName, 5, 0))), ""},
		"a long path": {append(slices.Clone(hello),
			client(packet(kindMkdir, 1, strings.Repeat("p", 3000), 0)), server(packet(kindStatus, 1, 4))),
			"mkdir " + strings.Repeat("p", maxPath) + "… failure"},
	} {
		for _, n := range []int{1, 7, 1 << 20} {
			l, err := play(c.talk, n)
			if got := strings.Join(l.lines, "; "); err != nil || got != c.want {
				t.Errorf("%s, by %d bytes: %v, %q; want %q", name, n, err, got, c.want)
			}
		}
	}
}

// What cannot be followed is an error before it is passed on.
func TestRefuses(t *testing.T) {
	t.Parallel()
	many := slices.Clone(hello)
	for i := range maxHandles + 1 {
		many = append(many, client(packet(kindOpen, uint32(i), "x", 1, 0)), server(packet(kindHandle, uint32(i), fmt.Sprint(i))))
	}
	flood := slices.Clone(hello)
	for i := range maxPending/256 + 1 {
		flood = append(flood, client(packet(kindRead, uint32(i), "h", uint64(0), 1)))
	}
	for name, c := range map[string]struct {
		talk []said
		want string
	}{
		"no packet":            {[]said{client([]byte("GET / HTTP/1.1\r\n"))}, "a packet of 1195725856 bytes"},
		"an empty packet":      {[]said{client(make([]byte, 5))}, "a packet of 0 bytes"},
		"another version":      {[]said{hello[0], server(packet(kindVersion, 6))}, "version 6"},
		"no version":           {[]said{client(packet(kindRemove, 1, "x"))}, "before the version"},
		"not waiting for it":   {[]said{hello[0], client(packet(kindRemove, 1, "x"))}, "before the version"},
		"two versions":         {append(slices.Clone(hello), hello[0]), "a request of kind 1"},
		"a kind of version 6":  {append(slices.Clone(hello), client(packet(22, 1, "h"))), "a request of kind 22"},
		"a short request":      {append(slices.Clone(hello), client(packet(kindRename, 1, "x"))), "without its fields"},
		"a long request":       {append(slices.Clone(hello), client(packet(kindRemove, 1, strings.Repeat("x", maxRequest)))), "a request of kind 13 with 34009 bytes"},
		"a write past its end": {append(slices.Clone(opened), client(packet(kindWrite, 2, "h", uint64(0), 4, []byte("abc")))), "without its fields"},
		"an id twice":          {append(slices.Clone(hello), client(packet(kindStat, 1, "x")), client(packet(kindRemove, 1, "x"))), "the id 1"},
		"an answer to nobody":  {append(slices.Clone(hello), server(packet(kindStatus, 1, 0))), "to no request"},
		"an answer to another": {append(slices.Clone(hello), client(packet(kindRemove, 1, "x")), server(packet(kindHandle, 1, "h"))), "to another request"},
		"a status without one": {append(slices.Clone(hello), client(packet(kindRemove, 1, "x")), server(packet(kindStatus, 1))), "without its fields"},
		"data past its end":    {append(slices.Clone(opened), client(packet(kindRead, 2, "h", uint64(0), 9)), server(packet(kindData, 2, 9, []byte("abc")))), "longer than its packet"},
		"a handle twice":       {append(slices.Clone(opened), client(packet(kindOpen, 2, "y", 1, 0)), server(packet(kindHandle, 2, "h"))), "open already"},
		"a long handle":        {append(slices.Clone(hello), client(packet(kindOpen, 2, "y", 1, 0)), server(packet(kindHandle, 2, strings.Repeat("h", 300)))), "a handle of"},
		"many files":           {many, "more than 2048 open files"},
		"many requests":        {flood, "too many requests"},
	} {
		if _, err := play(c.talk, 1<<20); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
}

// FuzzSession: whatever the two say, in whatever pieces, there is no panic, nothing grows past its bounds, and the
// pieces make no difference. Each byte of turns says how many of the bytes come next, and its lowest bit by whom.
func FuzzSession(f *testing.F) {
	for _, talk := range [][]said{hello, opened} {
		var turns, all []byte
		for _, s := range talk {
			turn := byte(len(s.bytes)) << 1
			if s.byServer {
				turn |= 1
			}
			turns, all = append(turns, turn), append(all, s.bytes...)
		}
		f.Add(turns, all)
	}
	f.Fuzz(func(t *testing.T, turns, all []byte) {
		var talk []said
		for _, turn := range turns {
			n := min(int(turn>>1), len(all))
			talk, all = append(talk, said{turn&1 == 1, all[:n]}), all[n:]
		}
		whole, errWhole := play(talk, 1<<20)
		bytewise, errBytewise := play(talk, 1)
		if fmt.Sprint(errWhole) != fmt.Sprint(errBytewise) || !slices.Equal(whole.lines, bytewise.lines) {
			t.Errorf("by pieces %v %q, whole %v %q", errBytewise, bytewise.lines, errWhole, whole.lines)
		}
		var l log
		w := New(l.add)
		for _, s := range talk {
			take := w.Request
			if s.byServer {
				take = w.Answer
			}
			if take(s.bytes) != nil {
				break
			}
			cost := 0
			for _, r := range w.pending {
				cost += r.cost()
			}
			if cost != w.pendingIn || cost > maxPending || len(w.files) > maxHandles || cap(w.requests.buf)+cap(w.answers.buf) > 128<<10 {
				t.Fatalf("%d bytes of requests counted as %d, %d files, buffers of %d and %d", cost, w.pendingIn, len(w.files), cap(w.requests.buf), cap(w.answers.buf))
			}
		}
		w.End()
	})
}
