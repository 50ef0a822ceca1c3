package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/domain"
)

type auditReply struct {
	Value []struct {
		Seq                                                 int64
		Time                                                time.Time
		Actor, Action, Host, Method, Target, Result, Detail string
		Sent, Received, Count                               int64
		DurationMs                                          float64
	}
	NextLink string
}

// The audit of an execution is read in pages, while it runs and after its end.
func TestAuditOfAnExecution(t *testing.T) {
	t.Parallel()
	e := start(t)
	path := cloudPath + "/scriptExecutions/x"
	e.do("PUT", path, put("Start-Sleep", "")).want(t, 201, "")
	if waiting := e.do("GET", path+"/audit", "").want(t, 200, ""); strings.TrimSpace(string(waiting.body)) != `{"value":[]}` {
		t.Errorf("before it runs: %s", waiting.body)
	}
	claims, err := e.store.Claim(t.Context(), "test", 1)
	if err != nil || len(claims) != 1 {
		t.Fatal(claims, err)
	}
	x := claims[0]
	const count = 1234
	for from := 0; from < count; from += 100 {
		var events []audit.Event
		for n := from; n < min(from+100, count); n++ {
			events = append(events, audit.Event{Seq: int64(n + 1), Time: time.Unix(int64(n), 0), Actor: "execution-x", Action: "vcenter/call",
				Host: "vc.example", Method: "<Method>", Target: fmt.Sprint("vm-", n), Result: "ok", Sent: 1, Received: 2, Duration: 1500 * time.Microsecond})
		}
		events[0].Count, events[0].Detail = 7, "7 of them"
		if err := e.store.AppendAudit(t.Context(), x.Execution.ID, x.Fence, events); err != nil {
			t.Fatal(err)
		}
	}
	seen, pages := int64(0), 0
	for link := path + "/audit"; link != ""; pages++ {
		reply := e.do("GET", link, "").want(t, 200, "")
		page := decode[auditReply](t, reply)
		for _, event := range page.Value {
			if seen++; event.Seq != seen || event.Target != fmt.Sprint("vm-", seen-1) || event.Time.Unix() != seen-1 ||
				event.Method != "<Method>" || event.Host != "vc.example" || event.Actor != "execution-x" || event.Action != "vcenter/call" ||
				event.Result != "ok" || event.Sent != 1 || event.Received != 2 || event.DurationMs != 1.5 ||
				(event.Count == 7) != (seen%100 == 1) {
				t.Fatalf("event %d: %+v", seen, event)
			}
		}
		if link = page.NextLink; link != "" {
			next, found := strings.CutPrefix(link, e.https.URL)
			if link = next; !found || !strings.Contains(link, "api-version=") {
				t.Fatalf("the next page is at %s", page.NextLink)
			}
		}
	}
	if seen != count || pages != 3 {
		t.Errorf("%d events on %d pages", seen, pages)
	}
	if err := e.store.Finish(t.Context(), x.Execution.ID, x.Fence, domain.Outcome{State: domain.Succeeded}); err != nil {
		t.Fatal(err)
	}
	end := decode[auditReply](t, e.do("GET", path+"/audit?after=1233", "").want(t, 200, ""))
	if len(end.Value) != 1 || end.Value[0].Seq != count || end.NextLink != "" {
		t.Errorf("the end: %+v", end)
	}
	if beyond := decode[auditReply](t, e.do("GET", path+"/audit?after=4611686018427387903", "").want(t, 200, "")); len(beyond.Value) != 0 {
		t.Errorf("after the end: %+v", beyond)
	}
}
