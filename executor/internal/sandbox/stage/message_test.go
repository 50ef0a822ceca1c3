package stage

import (
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
	})
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
