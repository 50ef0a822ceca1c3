package domain

import "time"

// Stream is one of the four streams that a script writes.
type Stream uint8

// The streams.
const (
	Output Stream = iota + 1
	Information
	Warning
	Error
)

// Streams lists the four streams.
var Streams = [...]Stream{Output, Information, Warning, Error}

var streamNames = [...]string{Output: "Output", Information: "Information", Warning: "Warning", Error: "Error"}

// String is the stream's name in the ARM API.
func (s Stream) String() string {
	if int(s) < len(streamNames) && s != 0 {
		return streamNames[s]
	}
	return "Unknown"
}

// Record is one piece of output: a line, or what a script wrote as one object. Text is valid UTF-8 without secrets,
// at most MaxRecord bytes.
type Record struct {
	Seq    int64 // from 1, without gaps, over all streams of an execution
	Time   time.Time
	Stream Stream
	Text   string
}

// MaxRecord is the most bytes of text that one record has; longer text goes on in the next record of its stream.
const MaxRecord = 1 << 20
