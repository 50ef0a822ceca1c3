package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// How much of an execution's output one answer of streams has at most, and how much of it is in memory at a time.
const (
	streamsRecords = 10_000
	streamsBytes   = 4 << 20
	stepRecords    = 1000
	stepBytes      = 256 << 10
)

type streamRecord struct {
	Seq    int64     `json:"seq"`
	Time   time.Time `json:"time"`
	Stream string    `json:"stream"`
	Text   string    `json:"text"`
}

// progress is how far a running execution says that it is.
type progress struct {
	Seq  int64  `json:"seq"`
	Text string `json:"text"`
}

// getStreams follows an execution's output, all streams in one sequence: what comes after the number `after`, held
// until there is some or the execution has ended, or with wait=false not held. `finished` says that nothing will come
// after `last`. Beside the output is how far the execution is; who gives the number of the `progress` that it knows is
// answered at the next one, too.
func (s *Server) getStreams(a *answer, r *request) error {
	after, err := r.sequence("after")
	if err != nil {
		return err
	}
	known, err := r.sequence("progress")
	if err != nil {
		return err
	}
	asked := r.URL.Query().Has("progress")
	x, err := s.execution(r)
	if err != nil {
		return err
	}
	var first []domain.Record
	var at domain.Progress
	news := false
	err = s.hold(r, x.ID, func() (bool, error) {
		// The state first: of an execution that reads finished all output is there.
		if x, err = s.cfg.Store.ExecutionByID(r.Context(), x.ID); err != nil {
			return false, err
		}
		if at, err = s.cfg.Store.Progress(r.Context(), x.ID); err != nil {
			return false, err
		}
		first, err = s.cfg.Store.Records(r.Context(), x.ID, after, stepRecords, stepBytes)
		news = len(first) > 0 || x.State.Final() || asked && at.Seq != known
		return news || r.URL.Query().Get("wait") == "false", err
	})
	if err != nil {
		return err
	}
	if !news {
		a.Header().Set("Retry-After", "1")
	}
	return s.writeStreams(r.Context(), a, x, at, after, first)
}

// sequence is a query parameter that is a sequence number, 0 where it is not there.
func (r *request) sequence(name string) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 63) // so that there can be one after it
	if err != nil || n < 0 {
		return 0, errors.Newf(errors.InvalidRequest, "The query parameter %s is %.40q; it must be a number that an earlier answer had, or 0 to begin with the first.", name, text).At(name)
	}
	return n, nil
}

// writeStreams writes the answer step by step, so that memory is bounded by a step.
func (s *Server) writeStreams(ctx context.Context, a *answer, x domain.Execution, at domain.Progress, last int64, records []domain.Record) (err error) {
	out := newArray(a, `{"value":[`)
	count, size := 0, 0
	for len(records) > 0 {
		for _, record := range records {
			if err := out.add(streamRecord{record.Seq, record.Time.UTC(), record.Stream.String(), record.Text}); err != nil {
				return err
			}
			last, size = record.Seq, size+len(record.Text)
		}
		if count += len(records); count >= streamsRecords || size >= streamsBytes {
			break
		}
		if records, err = s.cfg.Store.Records(ctx, x.ID, last, stepRecords, stepBytes); err != nil {
			return err
		}
	}
	var shown *progress
	if at.Seq > 0 && !x.State.Final() {
		shown = &progress{at.Seq, at.Text}
	}
	end, err := json.Marshal(struct {
		Last     int64        `json:"last"`
		State    domain.State `json:"state"`
		Finished bool         `json:"finished"`
		Progress *progress    `json:"progress,omitempty"`
	}{last, x.State, x.State.Final() && len(records) == 0, shown})
	if err != nil {
		return err
	}
	return out.end(`],` + string(end[1:]))
}

// getExecutionLogs is the execution with the whole of the streams that the body asks for. ARM has an array for each
// stream, so the output is read once for each; streams that the first reading found empty are not looked for again.
func (s *Server) getExecutionLogs(a *answer, r *request) error {
	wanted, err := r.wantedStreams(a)
	if err != nil {
		return err
	}
	x, err := s.execution(r)
	if err != nil {
		return err
	}
	var head bytes.Buffer
	if err := encoder(&head).Encode(r.executionResource(x)); err != nil {
		return err
	}
	a.Header().Set("Content-Type", "application/json; charset=utf-8")
	// The streams go on where properties, and with it the resource, would have ended.
	opening := strings.TrimSuffix(strings.TrimSpace(head.String()), "}}")
	var counts map[domain.Stream]int
	for _, stream := range domain.Streams {
		if !wanted[stream] {
			continue
		}
		out := newArray(a, opening+`,"`+property(stream)+`":[`)
		if counts == nil || counts[stream] > 0 {
			if counts, err = s.writeLog(r.Context(), out, x.ID, stream, counts); err != nil {
				return err
			}
		}
		if err := out.end("]"); err != nil {
			return err
		}
		opening = ""
	}
	_, _ = a.Write([]byte(opening + "}}\n"))
	return nil
}

// writeLog writes the lines of one stream. The first time, where counts is nil, it counts those of all streams; later
// it stops after as many, so that the arrays are of one moment.
func (s *Server) writeLog(ctx context.Context, out *array, id string, stream domain.Stream, counts map[domain.Stream]int) (map[domain.Stream]int, error) {
	found, last := map[domain.Stream]int{}, int64(0)
	for counts == nil || found[stream] < counts[stream] {
		records, err := s.cfg.Store.Records(ctx, id, last, stepRecords, stepBytes)
		if err != nil {
			return nil, err
		}
		if len(records) == 0 {
			break
		}
		for _, record := range records {
			found[record.Stream]++
			last = record.Seq
			if record.Stream != stream || counts != nil && found[stream] > counts[stream] {
				continue
			}
			if err := out.add(record.Text); err != nil {
				return nil, err
			}
		}
	}
	if counts == nil {
		counts = found
	}
	return counts, nil
}

// wantedStreams reads the optional body of getExecutionLogs: names of streams, plurals accepted. No body means all
// streams, an empty array none.
func (r *request) wantedStreams(a *answer) (map[domain.Stream]bool, error) {
	wanted := map[domain.Stream]bool{}
	data, err := r.readJSON(a)
	if err != nil {
		return nil, err
	}
	if data == nil || kindOf(data) == "null" {
		for _, stream := range domain.Streams {
			wanted[stream] = true
		}
		return wanted, nil
	}
	var names []string
	if err := json.Unmarshal(data, &names); err != nil {
		return nil, errors.Newf(errors.InvalidRequestContent, "The body must be an array of names of streams: %s.", streamNames)
	}
	for _, name := range names {
		stream, ok := streamByName(name)
		if !ok {
			return nil, errors.Newf(errors.InvalidRequestContent, "There is no stream %.40q; there are %s.", name, streamNames)
		}
		wanted[stream] = true
	}
	return wanted, nil
}

const streamNames = "Output, Information, Warning and Error"

func streamByName(name string) (domain.Stream, bool) {
	for _, stream := range domain.Streams {
		if strings.EqualFold(strings.TrimSuffix(strings.ToLower(name), "s"), stream.String()) {
			return stream, true
		}
	}
	return 0, false
}

// array writes an answer that is a JSON array of any length with what is around it.
type array struct {
	w       *bufio.Writer
	json    *json.Encoder
	between bool
}

func newArray(a *answer, opening string) *array {
	a.Header().Set("Content-Type", "application/json; charset=utf-8")
	w := bufio.NewWriterSize(a, 64<<10)
	_, _ = w.WriteString(opening) // a failed write shows at the end
	return &array{w: w, json: encoder(w)}
}

func (o *array) add(element any) error {
	if o.between {
		_ = o.w.WriteByte(',')
	}
	o.between = true
	return o.json.Encode(element)
}

func (o *array) end(closing string) error {
	_, _ = o.w.WriteString(closing)
	return o.w.Flush()
}
