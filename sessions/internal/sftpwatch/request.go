package sftpwatch

import (
	"fmt"
	"strings"
	"time"
)

// Results that are no failure of the server's.
const (
	ok  = "ok"
	cut = "cut"
)

// status is the name of a status code (draft, section 7).
func status(code uint32) string {
	names := [...]string{ok, "eof", "no-such-file", "permission-denied", "failure", "bad-message", "no-connection", "connection-lost", "unsupported"}
	if code < uint32(len(names)) {
		return names[code]
	}
	return fmt.Sprintf("status-%d", code)
}

// parse reads the fields of a request that matter; beyond is how many bytes of it are not in f. known is false for a kind
// that a client does not send in version 3.
func (s *Session) parse(kind byte, f *fields, beyond int) (r request, known bool) {
	switch kind {
	case kindOpen:
		r.op, r.answer = Op{Name: "open", Path: path(f)}, []byte{kindHandle}
		r.op.Detail = flags(f.uint32(), "read", "write", "append", "create", "truncate", "exclusive")
	case kindOpendir:
		r.op, r.answer = Op{Name: "opendir", Path: path(f)}, []byte{kindHandle}
	case kindClose:
		r.quiet, r.handle = true, string(f.string())
		r.file = s.files[r.handle]
	case kindRead:
		r.file, r.quiet, r.answer = s.files[string(f.string())], true, []byte{kindData}
	case kindWrite:
		r.quiet, r.file = true, s.files[string(f.string())]
		f.uint64() // offset
		r.size = int64(f.uint32())
		f.short = f.short || r.size > int64(len(f.rest)+beyond)
	case kindSetstat:
		r.op = Op{Name: "setstat", Path: path(f), Detail: attributes(f)}
	case kindFsetstat:
		r.op = Op{Name: "setstat", Path: s.pathOf(f), Detail: attributes(f)}
	case kindRemove:
		r.op = Op{Name: "remove", Path: path(f)}
	case kindMkdir:
		r.op = Op{Name: "mkdir", Path: path(f)}
	case kindRmdir:
		r.op = Op{Name: "rmdir", Path: path(f)}
	case kindRename:
		r.op = Op{Name: "rename", Path: path(f), Detail: "to " + path(f)}
	case kindSymlink: // OpenSSH has the target first, unlike the draft, and clients follow it
		target := path(f)
		r.op = Op{Name: "symlink", Path: path(f), Detail: "to " + target}
	case kindLstat, kindStat, kindFstat:
		r.quiet, r.answer = true, []byte{kindAttrs}
	case kindReaddir, kindRealpath, kindReadlink:
		r.quiet, r.answer = true, []byte{kindName}
	case kindExtended:
		r = s.extended(f)
	default:
		return r, false
	}
	return r, true
}

// extended reads an extension's fields. One that is not known is reported by its name.
func (s *Session) extended(f *fields) (r request) {
	full := text(f.string())
	name, _, _ := strings.Cut(full, "@")
	r.op.Name, r.answer = name, []byte{kindExtendedReply, kindName}
	switch full {
	case "posix-rename@openssh.com", "hardlink@openssh.com":
		r.op.Path, r.op.Detail = path(f), "to "+path(f)
	case "lsetstat@openssh.com":
		r.op.Path, r.op.Detail = path(f), attributes(f)
	case "fsync@openssh.com":
		r.op.Path = s.pathOf(f)
	case "copy-data":
		r.op.Path = s.pathOf(f)
		f.uint64() // offset
		length := f.uint64()
		r.op.Detail = fmt.Sprintf("%d bytes to %s", length, s.pathOf(f)) // 0 for all to the end
	case "statvfs@openssh.com", "fstatvfs@openssh.com", "limits@openssh.com", "expand-path@openssh.com", "home-directory",
		"users-groups-by-id@openssh.com":
		r.quiet = true
	default:
		r.op.Name, r.op.Detail = "extended", full
	}
	return r
}

func (s *Session) pathOf(f *fields) string {
	if file := s.files[string(f.string())]; file != nil {
		return file.path
	}
	return ""
}

func path(f *fields) string { return text(f.string()) }

// text is what is kept of a name that the client chose.
func text(b []byte) string {
	if len(b) > maxPath {
		return strings.ToValidUTF8(string(b[:maxPath]), "") + "…"
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// attributes names those that are set (draft, section 5).
func attributes(f *fields) string {
	var set []string
	which := f.uint32()
	if which&1 != 0 {
		set = append(set, fmt.Sprintf("size=%d", f.uint64()))
	}
	if which&2 != 0 {
		set = append(set, fmt.Sprintf("owner=%d:%d", f.uint32(), f.uint32()))
	}
	if which&4 != 0 {
		set = append(set, fmt.Sprintf("mode=%04o", f.uint32()&0o7777))
	}
	if which&8 != 0 {
		f.uint32() // when it was read last
		set = append(set, "modified="+time.Unix(int64(f.uint32()), 0).UTC().Format(time.RFC3339))
	}
	return strings.Join(set, " ")
}

// flags lists the names of the bits that are set, from the lowest.
func flags(set uint32, names ...string) string {
	var all []string
	for i, name := range names {
		if set>>i&1 != 0 {
			all = append(all, name)
		}
	}
	return strings.Join(all, ",")
}
