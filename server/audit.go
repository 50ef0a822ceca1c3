package server

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/airlock-run/airlock/internal/audit"
)

// auditPage is how many events a page of an audit has, and with it what an answer has in memory: 5 KiB each at most.
const auditPage = 500

// auditEvent is what an execution has done, or its script. A count is of a summary: how many calls it stands for, with
// their bytes and time together.
type auditEvent struct {
	Seq        int64     `json:"seq"`
	Time       time.Time `json:"time"`
	Actor      string    `json:"actor"`
	Action     string    `json:"action"`
	Host       string    `json:"host,omitempty"`
	Method     string    `json:"method,omitempty"`
	Target     string    `json:"target,omitempty"`
	Sent       int64     `json:"sent"`
	Received   int64     `json:"received"`
	DurationMS float64   `json:"durationMs"`
	Result     string    `json:"result"`
	Detail     string    `json:"detail,omitempty"`
	Count      int64     `json:"count,omitempty"`
}

func auditResource(e audit.Event) auditEvent {
	return auditEvent{
		e.Seq, e.Time, e.Actor, e.Action, e.Host, e.Method, e.Target, e.Sent, e.Received,
		float64(e.Duration.Microseconds()) / 1000, e.Result, e.Detail, e.Count,
	}
}

// getAudit lists what an execution has done, in order, from the event after the number `after` on. Of one that runs it has
// what is stored by now.
func (s *Server) getAudit(a *answer, r *request) error {
	after, err := r.sequence("after")
	if err != nil {
		return err
	}
	x, err := s.execution(r)
	if err != nil {
		return err
	}
	events, err := s.cfg.Store.Audit(r.Context(), x.ID, after, auditPage+1)
	if err != nil {
		return err
	}
	out := struct {
		Value    []auditEvent `json:"value"`
		NextLink string       `json:"nextLink,omitempty"`
	}{Value: []auditEvent{}}
	for i, e := range events {
		if i == auditPage {
			last := strconv.FormatInt(events[i-1].Seq, 10)
			out.NextLink = r.address(x.Cloud.String()+"/scriptExecutions/"+x.Name+"/audit", url.Values{"after": {last}})
			break
		}
		out.Value = append(out.Value, auditResource(e))
	}
	return a.send(http.StatusOK, out)
}
