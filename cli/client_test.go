package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/airlock-run/airlock/internal/errors"
)

// answers plays a server, one answer a request: STATUS, then headers as NAME: VALUE, then the body after an empty line.
type answers struct {
	next []string
	seen []*http.Request
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.seen = append(a.seen, r)
	if len(a.next) == 0 {
		<-r.Context().Done() // as one that holds the request
		return nil, r.Context().Err()
	}
	head, body, _ := strings.Cut(a.next[0], "\n\n")
	a.next = a.next[1:]
	resp := &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}
	for line := range strings.Lines(head) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			resp.Header.Set(name, value)
		} else if err := json.Unmarshal([]byte(line), &resp.StatusCode); err != nil {
			return nil, err
		}
	}
	resp.Status = fmt.Sprint(resp.StatusCode, " ", http.StatusText(resp.StatusCode))
	return resp, nil
}

func asking(next ...string) (*client, *answers) {
	a := &answers{next: next}
	c := newClient("https://airlock.test", "token", nil)
	c.http.Transport = a
	return c, a
}

const busy = "200\nRetry-After: 1\n\n" + `{"value":[],"finished":false}`

// A server that has no place to hold a request, or is about to stop, is not asked again at once.
func TestFollowGivesTheServerTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := `200` + "\n\n" + `{"value":[{"seq":1,"stream":"Output","text":"a"}],"finished":true}`
		c, server := asking(busy, busy, busy, one)
		begun, shown := time.Now(), 0
		if err := c.follow(t.Context(), "/x", true, func(record) error { shown++; return nil }); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took != 3*time.Second || shown != 1 || len(server.seen) != 4 {
			t.Errorf("%d records by %d requests in %v", shown, len(server.seen), took)
		}

		// Without waiting for the end there is nothing to wait for.
		c, _ = asking(busy)
		begun = time.Now()
		if err := c.follow(t.Context(), "/x", false, nil); err != nil || time.Since(begun) != 0 {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

// To learn of the end takes no reading of the output, of which there may be much.
func TestWaitReadsNoOutput(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, server := asking(busy, "200\n\n"+`{"value":[],"finished":true}`, "200\n\n"+`{"name":"x","properties":{"provisioningState":"Succeeded"}}`)
		a := &app{output: "json", stdout: io.Discard}
		if err := a.finish(t.Context(), c, "/scriptExecutions/x", true); err != nil {
			t.Fatal(err)
		}
		for _, r := range server.seen[:2] {
			if r.URL.Query().Get("after") == "0" {
				t.Errorf("it asks for %s", r.URL)
			}
		}
	})
}

// Who stops waiting is told that the execution goes on, and under which name.
func TestInterruptedWaiting(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c, _ := asking()
	err := (&app{output: "table"}).finish(ctx, c, "/scriptExecutions/run-1", true)
	if e := errors.For(err, ""); e.Code.Exit() != errors.ExitTimeout || !strings.Contains(e.Message, "run-1 goes on") {
		t.Errorf("the error is %v", err)
	}
}

// A token and a body with secrets go to the server that was named, and no further.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	c, server := asking("307\nLocation: http://airlock.test/elsewhere", "200\n\n{}")
	_, err := c.do(t.Context(), http.MethodPut, "/x", map[string]string{"password": "hush"}, nil)
	if err == nil || len(server.seen) != 1 || !strings.Contains(err.Error(), "307") {
		t.Errorf("%d requests, %v", len(server.seen), err)
	}
}

// A server that takes requests and says nothing is given up.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClient("https://airlock.test", "token", nil)
		transport := c.http.Transport.(*http.Transport)
		transport.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
		transport.DialTLSContext = func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, there) }()
			return here, nil
		}
		_, err := c.do(t.Context(), http.MethodGet, "/x", nil, nil)
		if !errors.Has(err, errors.ServerUnreachable) {
			t.Errorf("the error is %v", err)
		}
		transport.CloseIdleConnections()
	})
}

// What a script writes cannot move the cursor, nor pass for another record or another row.
func TestOutputIsMadeVisible(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	a := &app{output: "table", stdout: &out}
	const hostile = "a\x1b[2J\u009b\rb\u202e\r\n12:00:00.000  Error  forged\n\tc"
	if err := a.printRecord(record{Stream: "Output", Text: hostile}); err != nil {
		t.Fatal(err)
	}
	const indent = "                           "
	want := `Output       a\x1b[2J\u009b\rb\u202e` + "\n" + indent + "12:00:00.000  Error  forged\n" + indent + "\tc\n"
	if _, got, _ := strings.Cut(out.String(), "  "); got != want {
		t.Errorf("the record reads\n%s, want\n%s", got, want)
	}
	out.Reset()
	c, _ := asking("200\n\n"+`{"finished":true}`, "200\n\n"+
		`{"name":"x","properties":{"provisioningState":"Failed","failureReason":"a\u001b[2J\tb\nstate  Succeeded","namedOutputs":{"k\u0007":"v\tw"}}}`)
	err := a.finish(t.Context(), c, "/scriptExecutions/x", true)
	if text := out.String() + errors.For(err, "").Message; strings.ContainsAny(text, "\x1b\a\t") || strings.Contains(text, "\nstate  Succ") ||
		strings.Count(text, `a\x1b[2J b state  Succeeded`) != 2 || !strings.Contains(text, `k\a`) {
		t.Errorf("the execution reads\n%s", text)
	}
}

func TestParseParameter(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]string{
		"X=1":                          `[{"name":"X","type":"Value","value":"1"}]`,
		"X=1 Y=2=3":                    `[{"name":"X","type":"Value","value":"1"},{"name":"Y","type":"Value","value":"2=3"}]`,
		"name=X value=":                `[{"name":"X","type":"Value","value":""}]`,
		"NAME=X secureValue=s":         `[{"name":"X","type":"SecureValue","secureValue":"s"}]`,
		"name=X secureValue=@-":        `[{"name":"X","type":"SecureValue","secureValue":"from stdin"}]`,
		"name=X username=u password=p": `[{"name":"X","type":"Credential","username":"u","password":"p"}]`,
		"name=X type=SecureValue":      `[{"name":"X","type":"SecureValue"}]`,
		"name=X value=1 Value=2":       "given twice",
		"name=X name=Y value=1":        "given twice",
		"name=X colour=red":            "unknown key",
		"X":                            "not of the form",
	} {
		got, err := parseParameter(strings.ReplaceAll(words, " ", pairSeparator), strings.NewReader("from stdin\n"))
		data, _ := json.Marshal(got)
		if err == nil && string(data) != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s, %v; want %s", words, data, err, want)
		}
	}
}
