package cli

import (
	"fmt"
	"io"
)

// statusLine is the last line of a terminal, which is written over: how far something is while somebody watches.
type statusLine struct {
	w     io.Writer // nil where nothing is shown
	shown string
}

// statusLine is for results on a terminal; where they go elsewhere, or are for programs, it stays empty.
func (a *app) statusLine() *statusLine {
	if a.output != "table" || !terminal(a.stdout) || !terminal(a.stderr) || a.getenv("TERM") == "dumb" {
		return &statusLine{}
	}
	return &statusLine{w: a.stderr}
}

// show puts text in place of what was shown. The terminal cuts what is wider than itself (DECAWM off): a line that went on
// in the next could not be written over.
func (l *statusLine) show(text string) {
	text = visible(text, " ", " ")
	switch {
	case l.w == nil || text == l.shown:
	case text == "":
		l.hide()
	default:
		l.shown = text
		fmt.Fprintf(l.w, "\r\x1b[?7l%s\x1b[K\x1b[?7h", text)
	}
}

// hide makes room for another line.
func (l *statusLine) hide() {
	if l.shown != "" {
		l.shown = ""
		fmt.Fprint(l.w, "\r\x1b[K")
	}
}
