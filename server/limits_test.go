package server_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/secret"
	"github.com/airlock-run/airlock/server"
)

// pipe is a listener with one connection, in memory, so that time can be the test's.
type pipe struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p pipe) Close() error   { close(p.done); return nil }
func (p pipe) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// Who sends slowly, too much, or past the routes, is let go.
func TestSlowAndLargeRequests(t *testing.T) {
	t.Parallel()
	head := "PUT " + cloudPath + "/scriptExecutions/x?api-version=" + version + " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + token + "\r\n"
	for name, c := range map[string]struct {
		sent, answer string
		after        time.Duration
	}{
		"slow body":     {head + "Content-Length: 1000\r\n\r\n{", "400 Bad Request", 10 * time.Second},
		"slow stranger": {strings.Replace(head, token, "x", 1) + "Content-Length: 1000\r\n\r\n{", "401 Unauthorized", 10 * time.Second},
		"whole server":  {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "401 Unauthorized", 0},
		"slow head":     {head, "", 10 * time.Second},
		"large head":    {head + "X: " + strings.Repeat("x", 40<<10) + "\r\n\r\n", "431 Request Header Fields Too Large", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := server.New(server.Config{
					Authenticator: server.NewStaticToken(secret.New(token)), Providers: []domain.Principal{server.Developer}, Audit: &events{}, Logger: slog.New(slog.DiscardHandler),
					Now: time.Now, NewID: func() string { return "id" },
				}).HTTPServer()
				there, here := net.Pipe()
				listener := pipe{make(chan net.Conn, 1), make(chan struct{})}
				listener.conns <- there
				go func() { _ = s.Serve(listener) }()
				begun := time.Now()
				go func() { _, _ = io.WriteString(here, c.sent) }()
				reader := bufio.NewReader(here)
				answer, _ := reader.ReadString('\n')
				if !strings.Contains(answer, c.answer) || (c.answer == "") != (answer == "") {
					t.Errorf("the answer is %q", answer)
				}
				took := time.Since(begun)
				if took != c.after {
					t.Errorf("it came after %v, want %v", took, c.after)
				}
				_, _ = io.Copy(io.Discard, reader) // until the server hangs up
				_ = here.Close()
				_ = s.Close()
			})
		})
	}
}

// swallower is a feed that reads what is pushed and keeps nothing.
type swallower struct{ noFeed }

func (swallower) Push(r *http.Request, _ domain.Principal) (domain.Package, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return domain.Package{}, errors.Because(err, errors.InvalidPackage, "The package did not arrive.")
	}
	return domain.Package{}, nil
}

// A push may take longer than other requests, as long as it goes on and is at its end in half an hour.
func TestSlowPushes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pieces int
		end    string
		answer string
		after  time.Duration
	}{
		"slow":               {10, "0\r\n\r\n", "HTTP/1.1 201 Created\r\n", 250 * time.Second},
		"stalls":             {2, "", "HTTP/1.1 400 The package did not arrive.\r\n", 80 * time.Second},
		"as slow as allowed": {100, "", "HTTP/1.1 400 The package did not arrive.\r\n", 30 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := server.New(server.Config{
					Authenticator: server.NewStaticToken(secret.New(token)), Providers: []domain.Principal{server.Developer}, Audit: &events{}, Logger: slog.New(slog.DiscardHandler),
					Feed: swallower{}, Now: time.Now, NewID: func() string { return "id" },
				}).HTTPServer()
				there, here := net.Pipe()
				listener := pipe{make(chan net.Conn, 1), make(chan struct{})}
				listener.conns <- there
				go func() { _ = s.Serve(listener) }()
				begun, sent := time.Now(), make(chan struct{})
				go func() {
					defer close(sent)
					_, _ = io.WriteString(here, "PUT /nuget/v3/publish/ HTTP/1.1\r\nHost: a\r\nX-NuGet-ApiKey: "+token+"\r\nTransfer-Encoding: chunked\r\n\r\n")
					for range c.pieces {
						time.Sleep(25 * time.Second)
						if _, err := io.WriteString(here, "1\r\nx\r\n"); err != nil {
							return
						}
					}
					_, _ = io.WriteString(here, c.end)
				}()
				reader := bufio.NewReader(here)
				answer, _ := reader.ReadString('\n')
				if took := time.Since(begun); answer != c.answer || took != c.after {
					t.Errorf("after %v the answer is %q, want %q after %v", took, answer, c.answer, c.after)
				}
				_ = here.Close()
				<-sent
				_ = s.Close()
			})
		})
	}
}

// Clients without HTTP/2 use one connection for all that they ask.
func TestHTTP1(t *testing.T) {
	t.Parallel()
	e := start(t)
	e.execute(func(ctx context.Context, r *run) domain.Outcome { return byName(ctx, r) })
	e.https.Client().Transport.(*http.Transport).TLSClientConfig.NextProtos = []string{"http/1.1"}
	e.https.Client().Transport.(*http.Transport).ForceAttemptHTTP2 = false
	path := cloudPath + "/scriptExecutions/x"
	created := e.do("PUT", path, put("Invoke-Failure", ""), "Expect", "100-continue").want(t, 201, "")
	if created.Proto != "HTTP/1.1" {
		t.Fatalf("the protocol is %s", created.Proto)
	}
	if status := e.finished(created); status["status"] != "Failed" {
		t.Errorf("the status is %v", status)
	}
	if lines := e.follow(path, func(streamsReply) {}); len(lines) != 4 {
		t.Errorf("the lines are %q", lines)
	}
	e.do("DELETE", path, "").want(t, 202, "")
	e.do("DELETE", path, "").want(t, 204, "")
	e.do("PUT", path, put("Start-Sleep", `"x":"`+strings.Repeat("x", 500<<10)+`"`)).want(t, 413, "RequestEntityTooLarge")
}

// Strangers who send the forms of the token endpoint slowly are in nobody's way.
func TestSlowStrangersTakeNoPlaces(t *testing.T) {
	t.Parallel()
	e := start(t, func(c *server.Config) { c.MaxActive = 2 })
	form := "grant_type=client_credentials&client_id=" + clientID + "&client_secret=" + e.enroll().Reveal()
	address := strings.TrimPrefix(e.https.URL, "https://")
	for range 3 {
		conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: e.https.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "POST /adfs/oauth2/token HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n")
		// That the server waits for the form is what it says by 100.
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
			t.Fatalf("the form is answered %q, %v", line, err)
		}
	}
	e.do("GET", cloudPath, "").want(t, 200, "")
	e.form("/adfs/oauth2/token", form).want(t, 200, "")
	e.form("/adfs/oauth2/token", form+strings.Repeat("&", 16<<10)).want(t, 413, errors.RequestEntityTooLarge)
}

// slowFeed is a feed whose readers take what they asked for when they are told to.
type slowFeed struct {
	server.Feed
	reading chan struct{}
	free    chan struct{}
}

func (f slowFeed) Read(w http.ResponseWriter, _ *http.Request, _, _ string) error {
	f.reading <- struct{}{}
	<-f.free
	_, err := io.WriteString(w, "all of it")
	return err
}

// Whoever downloads packages slowly takes no more than half of the places: the rest of the API goes on.
func TestSlowDownloadsTakeHalfThePlaces(t *testing.T) {
	t.Parallel()
	slow := slowFeed{reading: make(chan struct{}, 2), free: make(chan struct{})}
	e := start(t, func(c *server.Config) { c.MaxActive, c.Feed = 2, slow })
	free := sync.OnceFunc(func() { close(slow.free) })
	t.Cleanup(free)
	const path = "/nuget/v3/packages/p/1.0.0/p.1.0.0.nupkg"
	var download reply
	done := make(chan struct{})
	go func() {
		defer close(done)
		download = e.do("GET", path, "")
	}()
	<-slow.reading
	e.do("GET", path, "").want(t, 429, errors.TooManyRequests)
	e.do("GET", cloudPath, "").want(t, 200, "")
	free()
	<-done
	if download.want(t, 200, ""); string(download.body) != "all of it" {
		t.Errorf("the download is %q", download.body)
	}
}
