package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/internal/seal"
)

// auditEvents bounds the events of one chunk, and with it what a page and a rewrite have in memory.
const auditEvents = 1024

// called is an event as it lies in the database: a chunk's data is a JSON array of them, sealed. The execution and its
// private cloud are those of the chunk's row.
type called struct {
	Micros   int64  `json:"t"`
	Actor    string `json:"u,omitempty"`
	Action   string `json:"a,omitempty"`
	Target   string `json:"o,omitempty"`
	Result   string `json:"r,omitempty"`
	Detail   string `json:"d,omitempty"`
	Host     string `json:"h,omitempty"`
	Method   string `json:"m,omitempty"`
	Sent     int64  `json:"out,omitempty"`
	Received int64  `json:"in,omitempty"`
	Duration int64  `json:"took,omitempty"` // nanoseconds
	Count    int64  `json:"n,omitempty"`
}

// AppendAudit stores the next events of a running execution, at most 1,024, as one chunk. Their seqs go on from the last
// stored one without a gap, else it is a Conflict.
func (s *Store) AppendAudit(ctx context.Context, id string, fence int64, events []audit.Event) error {
	if len(events) == 0 {
		return nil
	}
	data, err := s.packAudit(id, events)
	if err != nil {
		return err
	}
	first, last := events[0].Seq, events[len(events)-1].Seq
	return s.write(ctx, func(t *tx) error {
		n, err := t.exec(`UPDATE executions SET audited = $3 WHERE id = $1 AND fence = $2 AND audited = $4 AND state IN `+runningStates,
			id, fence, last, first-1)
		if err != nil {
			return err
		}
		if n == 0 {
			if _, err := held(t.view, id, fence); err != nil {
				return err
			}
			return errors.Newf(errors.Conflict, "The audit of the script execution %s does not go on with event %d.", id, first)
		}
		_, err = t.exec(`INSERT INTO audit_chunks (execution, first_seq, last_seq, data) VALUES ($1, $2, $3, $4)`, id, first, last, data)
		t.changed = append(t.changed, id)
		return err
	})
}

// RewriteAudit goes over the stored events, a chunk at a time in order up to the one that has the seq last, to take out a secret that
// became known late. rewrite changes texts of the events that it is given, and says whether it did.
func (s *Store) RewriteAudit(ctx context.Context, id string, fence, last int64, rewrite func([]audit.Event) (changed bool)) error {
	for after := int64(0); after < last; {
		chunks, err := read(ctx, s, func(v view) ([]auditChunk, error) {
			return list(v, s.scanAudit, `SELECT `+auditColumns+` FROM audit_chunks WHERE execution = $1 AND first_seq > $2 ORDER BY first_seq LIMIT 1`, id, after)
		})
		if err != nil || len(chunks) == 0 {
			return err
		}
		events := chunks[0].events
		if rewrite(events) {
			if err := s.replaceAudit(ctx, id, fence, events); err != nil {
				return err
			}
		}
		after = chunks[0].last
	}
	return nil
}

// replaceAudit puts a chunk's events in the place of what it had.
func (s *Store) replaceAudit(ctx context.Context, id string, fence int64, events []audit.Event) error {
	data, err := s.packAudit(id, events)
	if err != nil {
		return err
	}
	return s.write(ctx, func(t *tx) error {
		if _, err := held(t.view, id, fence); err != nil {
			return err
		}
		t.tidy = true
		_, err := t.exec(`UPDATE audit_chunks SET data = $3 WHERE execution = $1 AND first_seq = $2`, id, events[0].Seq, data)
		return err
	})
}

// Audit reads the events of an execution in order, from the one after the seq after: at most limit of them.
func (s *Store) Audit(ctx context.Context, id string, after int64, limit int) ([]audit.Event, error) {
	return read(ctx, s, func(v view) (events []audit.Event, err error) {
		x, err := executionByID(v, id)
		if err != nil {
			return nil, err
		}
		rows, err := v.rows(`SELECT `+auditColumns+` FROM audit_chunks WHERE execution = $1 AND first_seq >=
			coalesce((SELECT max(first_seq) FROM audit_chunks WHERE execution = $1 AND first_seq <= $2), 0) ORDER BY first_seq`, id, after+1)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() && len(events) < limit {
			c, err := s.scanAudit(rows)
			if err != nil {
				return nil, err
			}
			for _, e := range c.events {
				if e.Seq > after && len(events) < limit {
					e.Cloud = x.Cloud.String()
					events = append(events, e)
				}
			}
		}
		return events, rows.Err()
	})
}

// packAudit makes the sealed data of a chunk of neighbouring events.
func (s *Store) packAudit(id string, events []audit.Event) ([]byte, error) {
	if len(events) > auditEvents {
		return nil, fmt.Errorf("store: %d audit events in one chunk, at most %d are allowed", len(events), auditEvents)
	}
	all := make([]called, len(events))
	for i, e := range events {
		if e.Seq != events[0].Seq+int64(i) || e.Seq < 1 {
			return nil, errors.Newf(errors.Conflict, "An audit event with the number %d cannot follow one with %d.", e.Seq, events[max(i-1, 0)].Seq)
		}
		all[i] = called{e.Time.UnixMicro(), e.Actor, e.Action, e.Target, e.Result, e.Detail, e.Host, e.Method,
			e.Sent, e.Received, int64(e.Duration), e.Count}
	}
	data, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	return s.key.Seal(data, auditOf(id, events[0].Seq))
}

func auditOf(id string, first int64) []byte {
	return seal.Associated("audit", id, strconv.FormatInt(first, 10))
}

type auditChunk struct {
	last   int64
	events []audit.Event
}

const auditColumns = `execution, first_seq, last_seq, data`

func (s *Store) scanAudit(r scanner) (c auditChunk, err error) {
	var id string
	var first int64
	var data []byte
	if err := r.Scan(&id, &first, &c.last, &data); err != nil {
		return c, err
	}
	var all []called
	if data, err = s.key.Open(data, auditOf(id, first)); err == nil {
		err = json.Unmarshal(data, &all)
	}
	if err == nil && int64(len(all)) != c.last-first+1 {
		err = fmt.Errorf("it has %d", len(all))
	}
	if err != nil {
		return c, fmt.Errorf("store: the chunk with audit events %d to %d of %s: %w", first, c.last, id, err)
	}
	for i, e := range all {
		c.events = append(c.events, audit.Event{
			Seq: first + int64(i), Time: time.UnixMicro(e.Micros).UTC(), Execution: id, Actor: e.Actor, Action: e.Action,
			Target: e.Target, Result: e.Result, Detail: e.Detail, Host: e.Host, Method: e.Method,
			Sent: e.Sent, Received: e.Received, Duration: time.Duration(e.Duration), Count: e.Count,
		})
	}
	return c, nil
}
