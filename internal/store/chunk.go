package store

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// A chunk's data is its records one after another: the stream (1 byte), the time in microseconds since the record
// before it (varint, of the first one since 1970), the length of the text (uvarint) and the text. The seq of a record
// is that of the chunk's first plus its place. In the database it is sealed.

// Bounds of one chunk. A record is never divided, so a chunk may have chunkBytes and one record more.
const (
	chunkRecords = 1024
	chunkBytes   = 256 << 10
)

type chunk struct {
	first, last int64
	count       [len(domain.Streams)]int64 // of records, by stream
	data        []byte
	micros      int64 // time of the last record added
}

func (c *chunk) add(r domain.Record) {
	at := r.Time.UnixMicro()
	c.last = r.Seq
	c.count[r.Stream-1]++
	c.data = append(c.data, byte(r.Stream))
	c.data = binary.AppendVarint(c.data, at-c.micros)
	c.data = binary.AppendUvarint(c.data, uint64(len(r.Text)))
	c.data = append(c.data, r.Text...)
	c.micros = at
}

// pack makes chunks of records, which it checks: neighbouring seqs, known streams, no text past the bound.
func pack(recs []domain.Record) (chunks []chunk, err error) {
	for i, r := range recs {
		switch {
		case r.Seq != recs[0].Seq+int64(i) || r.Seq < 1:
			return nil, errors.Newf(errors.Conflict, "A record of output with the number %d cannot follow one with %d.", r.Seq, recs[max(i-1, 0)].Seq)
		case r.Stream < domain.Output || r.Stream > domain.Error:
			return nil, fmt.Errorf("store: record %d is of the unknown stream %d", r.Seq, r.Stream)
		case len(r.Text) > domain.MaxRecord:
			return nil, fmt.Errorf("store: record %d has %d bytes, at most %d are allowed", r.Seq, len(r.Text), domain.MaxRecord)
		}
		if n := len(chunks); n == 0 || r.Seq-chunks[n-1].first >= chunkRecords || len(chunks[n-1].data) >= chunkBytes {
			chunks = append(chunks, chunk{first: r.Seq})
		}
		chunks[len(chunks)-1].add(r)
	}
	return chunks, nil
}

// unpack calls each with the records of a chunk in order, their text still as bytes of data.
func (c chunk) unpack(each func(r domain.Record, text []byte)) error {
	var micros int64
	data := c.data
	for seq := c.first; seq <= c.last; seq++ {
		if len(data) == 0 {
			return c.damaged(seq)
		}
		stream := domain.Stream(data[0])
		since, n := binary.Varint(data[1:])
		if n <= 0 || stream < domain.Output || stream > domain.Error {
			return c.damaged(seq)
		}
		data = data[1+n:]
		length, n := binary.Uvarint(data)
		if n <= 0 || length > uint64(len(data)-n) {
			return c.damaged(seq)
		}
		micros += since
		each(domain.Record{Seq: seq, Time: time.UnixMicro(micros).UTC(), Stream: stream}, data[n:n+int(length)])
		data = data[n+int(length):]
	}
	if len(data) > 0 {
		return c.damaged(c.last)
	}
	return nil
}

func (c chunk) damaged(seq int64) error {
	return fmt.Errorf("store: the chunk with records %d to %d is damaged at %d", c.first, c.last, seq)
}

// records are all records of the chunk.
func (c chunk) records() ([]domain.Record, error) {
	recs := make([]domain.Record, 0, min(c.last-c.first+1, int64(len(c.data))))
	err := c.unpack(func(r domain.Record, text []byte) {
		r.Text = string(text)
		recs = append(recs, r)
	})
	return recs, err
}
