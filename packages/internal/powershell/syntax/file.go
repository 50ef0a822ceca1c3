// Package syntax reads the text of PowerShell scripts, as PowerShell 7 does, into a tree. It runs nothing.
//
// PowerShell has no grammar that a generator could be given: what a character means depends on whether the parser
// expects a command's argument, an expression, a member's name or a type's, so this is a parser by recursive descent that
// scans as it goes, in the way of PowerShell's own (System.Management.Automation, engine/parser). It reports what
// PowerShell refuses, and goes on after an error as well as it can.
//
// The text may come from anybody: depth, errors and work are bounded (MaxSize, maxDepth, maxErrors, workPerByte).
package syntax

import (
	"slices"
	"sort"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxSize is the most bytes of a script that is read.
const MaxSize = 1 << 20

const (
	maxDepth    = 1500 // of calls of the parser's functions that nest; a pair of parentheses takes seven
	maxErrors   = 50
	workPerByte = 200 // steps of the parser; going back and reading again is what costs
)

// File is a script that was read.
type File struct {
	Text     string // UTF-8, whatever the file's encoding was, without a byte order mark
	Root     *Node  // a ScriptBlock
	Errors   []SyntaxError
	Comments []Comment
	lines    []int // where each line starts
	wide     []wide
}

// wide is a character that takes more bytes than UTF-16 units.
type wide struct {
	end   int // after it
	spare int // bytes that it and those before it take more than units
}

// SyntaxError is a place at which PowerShell does not accept the script.
type SyntaxError struct {
	Pos     int
	Message string
}

// Comment is a line's comment or a block's, with its marks.
type Comment struct{ Pos, End int }

// Parse reads a script. It never fails: what is wrong is in File.Errors.
func Parse(data []byte) *File {
	f := &File{}
	p := &parser{file: f}
	if len(data) > MaxSize {
		p.fail(0, "The file has more than 1 MiB, and is not read.")
		data = nil
	}
	f.Text = Decode(data)
	f.lines = []int{0}
	for i := 0; i < len(f.Text); i++ {
		if f.Text[i] == '\n' || f.Text[i] == '\r' && (i+1 == len(f.Text) || f.Text[i+1] != '\n') {
			f.lines = append(f.lines, i+1)
		}
	}
	spare := 0
	for i, r := range f.Text {
		if r >= utf8.RuneSelf {
			spare += utf8.RuneLen(r) - utf16.RuneLen(r)
			f.wide = append(f.wide, wide{i + utf8.RuneLen(r), spare})
		}
	}
	p.src, p.end = f.Text, len(f.Text)
	p.work = workPerByte*len(f.Text) + 10_000
	f.Root = p.scriptBlock(0, true)
	slices.SortStableFunc(f.Errors, func(a, b SyntaxError) int { return a.Pos - b.Pos })
	return f
}

// Place is the line and column of a position, from 1; columns count UTF-16 units, as PowerShell does.
func (f *File) Place(pos int) (line, column int) {
	line = sort.SearchInts(f.lines, pos+1)
	start := f.lines[line-1]
	return line, pos - start - f.spare(pos) + f.spare(start) + 1
}

// spare is how many bytes more than UTF-16 units there are before pos.
func (f *File) spare(pos int) int {
	i := sort.Search(len(f.wide), func(i int) bool { return f.wide[i].end > pos })
	if i == 0 {
		return 0
	}
	return f.wide[i-1].spare
}

// Source is the text of a node.
func (f *File) Source(n *Node) string { return f.Text[n.Pos:n.End] }

// Decode makes text of a script's bytes: a byte order mark decides, else it is UTF-8; what is not becomes U+FFFD.
func Decode(data []byte) string {
	switch {
	case len(data) >= 3 && string(data[:3]) == "\xef\xbb\xbf":
		data = data[3:]
	case len(data) >= 2 && (data[0] == 0xff && data[1] == 0xfe || data[0] == 0xfe && data[1] == 0xff):
		little := data[0] == 0xff
		units := make([]uint16, 0, len(data)/2)
		for i := 2; i+1 < len(data); i += 2 {
			lo, hi := data[i], data[i+1]
			if !little {
				lo, hi = hi, lo
			}
			units = append(units, uint16(hi)<<8|uint16(lo))
		}
		return string(utf16.Decode(units))
	}
	if utf8.Valid(data) {
		return string(data)
	}
	return string([]rune(string(data)))
}
