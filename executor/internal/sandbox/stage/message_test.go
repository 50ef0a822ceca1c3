package stage

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func FuzzDecode(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(Message{Fields: []string{"", "make", strings.Repeat("x", 300)}}.encode())
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		fields, err := decode(b)
		if err != nil {
			return
		}
		again, err := decode(Message{Fields: fields}.encode())
		if err != nil || !slices.Equal(again, fields) {
			t.Errorf("%q became %q, %v", fields, again, err)
		}
		_, _ = Parse(Message{Fields: fields}) // does not panic
		_, _ = parseLayout(fields)
		_, _ = parseProgram(fields, nil)
	})
}

// What the executor asks for is what the stage reads, however many there are of each.
func TestRequests(t *testing.T) {
	t.Parallel()
	for _, l := range []Layout{
		{ID: 1000, Home: "/h", Tmp: "/t", Etc: "/e", Package: "/p", Mountpoint: "/m", Libraries: map[string]string{}},
		{Runtime: []string{"/a", "/b"}, Libraries: map[string]string{"A": "/1", "B.C": "/2"}},
	} {
		got, err := parseLayout(Make(l).Fields[1:])
		if err != nil || !slices.Equal(got.Runtime, l.Runtime) || !maps.Equal(got.Libraries, l.Libraries) || got.ID != l.ID || got.Mountpoint != l.Mountpoint {
			t.Errorf("%+v became %+v, %v", l, got, err)
		}
	}
	for _, p := range []Program{
		{Path: "/p", Filter: []byte{0, 1}},
		{Path: "/p", Args: []string{"", "2", "a"}, Env: []string{"A=1"}, Stdin: true},
	} {
		got, err := parseProgram(Start(p).Fields[1:], nil)
		if err != nil || got.Path != p.Path || !slices.Equal(got.Args, p.Args) || !slices.Equal(got.Env, p.Env) || got.Stdin != p.Stdin {
			t.Errorf("%+v became %+v, %v", p, got, err)
		}
	}
	for _, fields := range [][]string{nil, {"x"}, {"1", "", "", "", "", "", "2", "/a"}, {"1", "", "", "", "", "", "-1"}, {"1", "", "", "", "", "", "0", "A"}} {
		if _, err := parseLayout(fields); err == nil {
			t.Errorf("the layout %q was read", fields)
		}
		if _, err := parseProgram(fields, nil); err == nil {
			t.Errorf("the program %q was read", fields)
		}
	}
}

func TestMessagesCarryDescriptors(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	sent := Message{Fields: []string{"start", "a\x00b"}, Files: []int{int(null.Fd()), int(null.Fd())}}
	if err := Send(fds[0], sent); err != nil {
		t.Fatal(err)
	}
	got, err := Receive(fds[1])
	if err != nil || !slices.Equal(got.Fields, sent.Fields) || len(got.Files) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, fd := range got.Files {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("a program would inherit descriptor %d (%v)", fd, err)
		}
	}
	closeAll(got.Files)
	for _, m := range []Message{
		{Fields: []string{strings.Repeat("x", maxMessage)}},
		{Fields: []string{"x"}, Files: make([]int, maxFiles+1)},
	} {
		if err := Send(fds[0], m); err == nil {
			t.Error("a message beyond the bounds was sent")
		}
	}
	unix.Close(fds[0])
	if _, err := Receive(fds[1]); err == nil {
		t.Error("the end of the other side is a message")
	}
}
