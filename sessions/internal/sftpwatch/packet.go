package sftpwatch

import (
	"encoding/binary"
	"fmt"
)

// Kinds of packets (draft-ietf-secsh-filexfer-02, section 3).
const (
	kindInit     = 1
	kindVersion  = 2
	kindOpen     = 3
	kindClose    = 4
	kindRead     = 5
	kindWrite    = 6
	kindLstat    = 7
	kindFstat    = 8
	kindSetstat  = 9
	kindFsetstat = 10
	kindOpendir  = 11
	kindReaddir  = 12
	kindRemove   = 13
	kindMkdir    = 14
	kindRmdir    = 15
	kindRealpath = 16
	kindStat     = 17
	kindRename   = 18
	kindReadlink = 19
	kindSymlink  = 20

	kindStatus = 101
	kindHandle = 102
	kindData   = 103
	kindName   = 104
	kindAttrs  = 105

	kindExtended      = 200
	kindExtendedReply = 201
)

// Bounds of packets, in bytes without their length field.
const (
	maxPacket  = 256 << 10 // OpenSSH's SFTP_MAX_MSG_LENGTH
	maxRequest = 34000     // of one that carries no data: what the draft says that a server takes
	maxHandle  = 256       // section 6.3
)

// stream cuts the bytes of one direction into packets. Of each packet it keeps as much as somebody looks at.
type stream struct {
	keep   func(kind byte, size int) (int, error) // how much of a packet of this kind and size is looked at
	packet func(head []byte, size int) error      // head begins with the kind; size is that of the whole packet
	buf    []byte                                 // length field and what is kept of the packet that is coming in
	size   int                                    // of that packet; 0 while it is not known
	need   int                                    // bytes that belong into buf
	skip   int                                    // bytes of the last packet that nobody looks at
}

const frame = 4 // bytes of the length field

func (s *stream) write(p []byte) error {
	for len(p) > 0 {
		if s.skip > 0 {
			n := min(s.skip, len(p))
			s.skip, p = s.skip-n, p[n:]
			continue
		}
		if s.size == 0 {
			s.need = frame + 1
		}
		n := min(s.need-len(s.buf), len(p))
		s.buf, p = append(s.buf, p[:n]...), p[n:]
		if len(s.buf) == s.need {
			if err := s.filled(); err != nil {
				return err
			}
		}
	}
	return nil
}

// filled goes on where buf has what it needs: from the head of a packet to its fields, or to the next packet.
func (s *stream) filled() error {
	if s.size == 0 {
		size := binary.BigEndian.Uint32(s.buf)
		if size == 0 || size > maxPacket {
			return fmt.Errorf("a packet of %d bytes", size)
		}
		keep, err := s.keep(s.buf[frame], int(size))
		if err != nil {
			return err
		}
		s.size = int(size)
		if s.need = frame + min(keep, s.size); len(s.buf) < s.need {
			return nil
		}
	}
	err := s.packet(s.buf[frame:], s.size)
	s.skip = frame + s.size - s.need
	s.buf, s.size = s.buf[:0], 0
	return err
}

// fields reads the fields of a packet one after the other. After one that is not there all are empty and short is set.
type fields struct {
	rest  []byte
	short bool
}

func (f *fields) bytes(n uint64) []byte {
	if f.short || n > uint64(len(f.rest)) {
		f.short = true
		return nil
	}
	b := f.rest[:n]
	f.rest = f.rest[n:]
	return b
}

func (f *fields) byte() byte {
	if b := f.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (f *fields) uint32() uint32 {
	if b := f.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (f *fields) uint64() uint64 {
	if b := f.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// string is a view, valid until the next packet.
func (f *fields) string() []byte { return f.bytes(uint64(f.uint32())) }
