package stage

import (
	"encoding/binary"
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// Message is one datagram between the executor and the stage: fields of any bytes, and descriptors.
type Message struct {
	Fields []string
	Files  []int
}

// Bounds of a message.
const (
	maxMessage = 192 << 10 // bytes; the kernel takes 208 KiB (socket(7), wmem_default)
	maxFiles   = 64
)

var (
	errMalformed = errors.New("a malformed message")
	errTooLarge  = errors.New("more files and libraries, or arguments, than there is room for")
)

// encode writes each field behind its length.
func (m Message) encode() []byte {
	var b []byte
	for _, f := range m.Fields {
		b = append(binary.AppendUvarint(b, uint64(len(f))), f...)
	}
	return b
}

func decode(b []byte) (fields []string, err error) {
	for len(b) > 0 {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return nil, errMalformed
		}
		fields = append(fields, string(b[size:size+int(n)]))
		b = b[size+int(n):]
	}
	return fields, nil
}

// Send sends a message over a socket of type SOCK_SEQPACKET.
func Send(fd int, m Message) error {
	b := m.encode()
	if len(b) > maxMessage || len(m.Files) > maxFiles {
		return errTooLarge
	}
	var rights []byte
	if len(m.Files) > 0 {
		rights = unix.UnixRights(m.Files...)
	}
	for {
		err := unix.Sendmsg(fd, b, rights, nil, unix.MSG_NOSIGNAL)
		if err != unix.EINTR {
			return err
		}
	}
}

// Receive receives a message. Its descriptors are close-on-exec. The end of the other side is an error.
func Receive(fd int) (Message, error) {
	b, rights := make([]byte, maxMessage), make([]byte, unix.CmsgSpace(4*maxFiles))
	for {
		n, rightsLen, flags, _, err := unix.Recvmsg(fd, b, rights, unix.MSG_CMSG_CLOEXEC)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return Message{}, err
		case n == 0 && rightsLen == 0:
			return Message{}, syscall.EPIPE
		}
		files, err := received(rights[:rightsLen])
		if err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
			err = errMalformed
		}
		fields, malformed := decode(b[:n])
		if err = errors.Join(err, malformed); err != nil {
			closeAll(files)
			return Message{}, err
		}
		return Message{fields, files}, nil
	}
}

func received(rights []byte) (files []int, err error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	for _, m := range messages {
		fds, parseErr := unix.ParseUnixRights(&m)
		if parseErr != nil && err == nil {
			err = parseErr
		}
		files = append(files, fds...)
	}
	return files, err
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
