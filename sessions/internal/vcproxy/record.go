package vcproxy

import (
	"fmt"
	"io"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/audit"
)

// record is what is audited of one request: what it was, how much went each way, and how it was answered.
type record struct {
	http.ResponseWriter
	began          time.Time
	sent, received int64
	status         int
	fault          []byte // the beginning of a SOAP fault
}

// maxFaultHead is how much of a fault is looked at for its name.
const maxFaultHead = 1 << 10

func newRecord(w http.ResponseWriter, r *http.Request) *record {
	c := &record{ResponseWriter: w, began: time.Now()}
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &counted{r.Body, c}
	}
	return c
}

// counted is a body whose bytes are counted.
type counted struct {
	io.ReadCloser
	in *record
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.in.sent += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController through.
func (c *record) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *record) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		c.status = status
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *record) Write(p []byte) (int, error) {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	if c.status == http.StatusInternalServerError && len(c.fault) < maxFaultHead {
		c.fault = append(c.fault, p[:min(len(p), maxFaultHead-len(c.fault))]...)
	}
	n, err := c.ResponseWriter.Write(p)
	c.received += int64(n)
	return n, err
}

var faultType = regexp.MustCompile(`<detail>\s*<[^>]*\btype=["'](?:\w+:)?(\w{1,60})["']`)

// event is the audit event of a request that was answered, or refused by a rule.
func (c *record) event(host string, r *http.Request, j *judged, rule string) audit.Event {
	e := audit.Event{Action: "vcenter/call", Host: host, Sent: c.sent, Received: c.received, Duration: time.Since(c.began)}
	where := shown(object(r.URL.Path))
	if j.Method != "" {
		e.Method, e.Target, e.Detail = j.Method, shownText(string(j.body[j.This.From:j.This.To])), where
	} else {
		e.Method, e.Target = fmt.Sprintf("%.20s %s", r.Method, where), where
		if action := r.URL.Query().Get("action") + r.URL.Query().Get("~action"); action != "" {
			e.Method += "?action=" + shownText(action)
		}
	}
	switch m := faultType.FindSubmatch(c.fault); {
	case rule != "":
		e.Action, e.Result = "vcenter/refused", rule
	case m != nil:
		e.Result = string(m[1])
	case c.status == 0:
		e.Result = "cut" // the execution ended, or its client went
	default:
		e.Result = strconv.Itoa(c.status)
	}
	return e
}

// object is the path of what a request is about, without the name of a lease or an upload, which is a capability.
func object(p string) string {
	for _, dir := range []string{"/nfc/", "/cls/"} {
		if strings.HasPrefix(p, dir) {
			return dir + "_/" + path.Base(p)
		}
	}
	return p
}

// shownText is a short text of a script's, for an audit event.
func shownText(text string) string {
	const most = 100
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strings.ToValidUTF8(text, "")
}
