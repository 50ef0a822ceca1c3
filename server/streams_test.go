package server_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/manifest"
	"github.com/airlock-run/airlock/server"
)

type streamsReply struct {
	Value []struct {
		Seq          int64
		Time         time.Time
		Stream, Text string
	}
	Last     int64
	State    string
	Finished bool
	Progress *struct {
		Seq  int64
		Text string
	}
}

// follow reads the output of an execution to its end, as the command line does.
func (e *env) follow(path string, seen func(streamsReply)) (lines []string) {
	e.t.Helper()
	for last := int64(0); ; {
		page := decode[streamsReply](e.t, e.do("GET", fmt.Sprint(path, "/streams?after=", last), "").want(e.t, 200, ""))
		for _, record := range page.Value {
			if last++; record.Seq != last {
				e.t.Fatalf("record %d follows %d", record.Seq, last-1)
			}
			lines = append(lines, record.Stream+": "+record.Text)
		}
		if page.Last != last {
			e.t.Fatalf("last is %d after record %d", page.Last, last)
		}
		if seen(page); page.Finished {
			return lines
		}
	}
}

func TestStreamsAreFollowed(t *testing.T) {
	t.Parallel()
	e := start(t, func(c *server.Config) { c.Hold = time.Hour })
	next := make(chan struct{})
	e.execute(func(ctx context.Context, r *run) domain.Outcome {
		for i := range 3 {
			select {
			case <-next:
				r.write(domain.Output, fmt.Sprint("step ", i))
				r.write(domain.Error, fmt.Sprint("<step> ", i))
			case <-ctx.Done():
			}
		}
		return domain.Outcome{State: domain.Failed, Failure: &domain.Failure{Code: errors.ScriptFailed, Message: "No."}}
	})
	path := cloudPath + "/scriptExecutions/x"
	e.do("PUT", path, put("Start-Sleep", "")).want(t, 201, "")
	go func() { next <- struct{}{} }()
	steps := 1
	lines := e.follow(path, func(page streamsReply) {
		if len(page.Value) == 0 && !page.Finished {
			t.Error("an answer came with nothing in it")
		}
		// The next step is made only when this one has been seen: nothing is held back.
		if n := len(page.Value); n > 0 && page.Value[n-1].Text == fmt.Sprint("<step> ", steps-1) && steps < 3 {
			steps++
			go func() { next <- struct{}{} }()
		}
	})
	if want := []string{"Output: step 0", "Error: <step> 0", "Output: step 1", "Error: <step> 1", "Output: step 2", "Error: <step> 2"}; !slices.Equal(lines, want) {
		t.Errorf("the lines are %q", lines)
	}
	end := decode[streamsReply](t, e.do("GET", path+"/streams?after=6", "").want(t, 200, ""))
	if end.State != "Failed" || !end.Finished || end.Last != 6 || end.Value == nil {
		t.Errorf("after the end: %+v", end)
	}
}

// How far an execution is stands beside its output; who asks for it is answered when it changes, nobody else.
func TestProgressIsFollowed(t *testing.T) {
	t.Parallel()
	e := start(t, func(c *server.Config) { c.Hold = time.Hour })
	said, write := make(chan string), make(chan string)
	e.execute(func(ctx context.Context, r *run) domain.Outcome {
		for {
			select {
			case text := <-said:
				if err := e.store.SetProgress(ctx, r.Execution.ID, r.Fence, text); err != nil {
					t.Error(err)
				}
			case text, more := <-write:
				if !more {
					return domain.Outcome{State: domain.Succeeded}
				}
				r.write(domain.Output, text)
			case <-ctx.Done():
				return domain.Outcome{State: domain.Canceled}
			}
		}
	})
	path := cloudPath + "/scriptExecutions/x"
	e.do("PUT", path, put("Start-Sleep", "")).want(t, 201, "")
	ask := func(query string) (page streamsReply) {
		t.Helper()
		r := e.do("GET", path+"/streams?"+query, "").want(t, 200, "")
		page = decode[streamsReply](t, r)
		if again := r.Header.Get("Retry-After"); (again != "") != (query == "wait=false") {
			t.Errorf("%s: Retry-After is %q", query, again)
		}
		return page
	}
	if page := ask("wait=false"); page.Progress != nil {
		t.Errorf("before there is any: %+v", page.Progress)
	}
	for i, text := range []string{"copying 3 of 7", "<all> copied", ""} {
		said <- text
		page := ask(fmt.Sprint("progress=", i)) // held until it is there
		if page.Progress == nil || page.Progress.Seq != int64(i+1) || page.Progress.Text != text || len(page.Value) > 0 || page.Finished {
			t.Fatalf("after %q: %+v, %+v", text, page, page.Progress)
		}
	}
	said <- "almost there"
	go func() { write <- "a line" }()
	if page := ask("after=0"); len(page.Value) != 1 || page.Progress == nil || page.Progress.Text != "almost there" {
		t.Errorf("who did not ask was answered %+v, %+v", page, page.Progress)
	}
	if body := string(e.do("GET", path, "").want(t, 200, "").body); strings.Contains(body, "almost") {
		t.Errorf("the resource shows it: %s", body)
	}
	close(write)
	for page := ask("after=1&progress=4"); !page.Finished; page = ask("after=1&progress=4") {
	}
	if page := ask("progress=0"); page.Progress != nil || len(page.Value) != 1 {
		t.Errorf("after the end: %+v, %+v", page, page.Progress)
	}
}

// fill makes an execution that has written count lines of each size, over the four streams in turn, and has ended.
func (e *env) fill(name string, count, size int) (path string) {
	e.t.Helper()
	path = cloudPath + "/scriptExecutions/" + name
	e.do("PUT", path, put("Start-Sleep", "")).want(e.t, 201, "")
	claims, err := e.store.Claim(e.t.Context(), "test", 1)
	if err != nil || len(claims) != 1 {
		e.t.Fatal(claims, err)
	}
	r := &run{env: e, Claim: claims[0]}
	for from := 0; from < count; from += 256 {
		var records []domain.Record
		for i := from; i < min(from+256, count); i++ {
			records = append(records, domain.Record{Seq: int64(i + 1), Time: time.Now(), Stream: domain.Streams[i%4], Text: line(i, size)})
		}
		if err := e.store.Append(e.t.Context(), r.Execution.ID, r.Fence, records); err != nil {
			e.t.Fatal(err)
		}
	}
	if err := e.store.Finish(e.t.Context(), r.Execution.ID, r.Fence, domain.Outcome{State: domain.Succeeded}); err != nil {
		e.t.Fatal(err)
	}
	return path
}

func line(i, size int) string { return fmt.Sprintf("%0*d", size, i) }

func TestStreamsArePaged(t *testing.T) {
	t.Parallel()
	e := start(t)
	for name, c := range map[string]struct{ count, size, mostLines, mostBytes int }{
		"by number": {20_500, 10, 10_000, 4 << 20},
		"by size":   {140, 64 << 10, 10_000, 4<<20 + 256<<10},
	} {
		path := e.fill(strings.ReplaceAll(name, " ", "-"), c.count, c.size)
		pages := 0
		lines := e.follow(path, func(page streamsReply) {
			size := 0
			for _, record := range page.Value {
				size += len(record.Text)
			}
			if pages++; len(page.Value) > c.mostLines || size > c.mostBytes {
				t.Errorf("%s: a page has %d lines, %d bytes", name, len(page.Value), size)
			}
		})
		if len(lines) != c.count || lines[c.count-1] != domain.Streams[(c.count-1)%4].String()+": "+line(c.count-1, c.size) || pages < 3 {
			t.Errorf("%s: %d lines on %d pages", name, len(lines), pages)
		}
	}
}

func TestLogsAreWholeAndResourcesAreNot(t *testing.T) {
	t.Parallel()
	e := start(t)
	const count = 10_003
	path := e.fill("x", count, 10)
	logs := decode[executionReply](t, e.do("POST", path+"/getExecutionLogs", "null").want(t, 200, "")).Properties
	shown := decode[executionReply](t, e.do("GET", path, "").want(t, 200, "")).Properties
	for i, lines := range [][]string{logs.Output, logs.Information, logs.Warnings, logs.Errors} {
		want := (count + 3 - i) / 4
		if len(lines) != want {
			t.Fatalf("%s has %d lines, want %d", domain.Streams[i], len(lines), want)
		}
		for n, text := range lines {
			if text != line(4*n+i, 10) {
				t.Fatalf("%s: line %d is %s", domain.Streams[i], n, text)
			}
		}
		tail := [][]string{shown.Output, shown.Information, shown.Warnings, shown.Errors}[i]
		note := fmt.Sprintf("[%d earlier lines are left out here; getExecutionLogs has all of them]", want-1000)
		if len(tail) != 1001 || tail[0] != note || !slices.Equal(tail[1:], lines[want-1000:]) {
			t.Errorf("%s shows %d lines, the first is %q", domain.Streams[i], len(tail), tail[0])
		}
	}
	if logs.ProvisioningState != "Succeeded" || logs.FinishedAt == nil {
		t.Errorf("the logs are of %+v", logs.ProvisioningState)
	}
}

// endless is a store whose output is as long as one likes, and that knows how much of it the API holds.
type endless struct {
	server.Store
	records int64
	given   int // bytes handed out that were not written yet
	most    int
}

func (s *endless) Records(_ context.Context, _ string, after int64, limit, maxBytes int) (recs []domain.Record, err error) {
	for size := 0; len(recs) < limit && size < maxBytes && after < s.records; size += 1000 {
		after++
		recs = append(recs, domain.Record{Seq: after, Stream: domain.Streams[after%4], Text: strings.Repeat("x", 1000)})
		if after%4 == 0 { // Output
			s.given += 1000
		}
	}
	s.most = max(s.most, s.given)
	return recs, nil
}

type sink struct {
	*endless
	http.ResponseWriter
}

func (s sink) Write(b []byte) (int, error) {
	s.given -= len(b)
	return s.ResponseWriter.Write(b)
}

// What the API holds of an execution's output is bounded by what it reads at a time, however much there is.
func TestLogsAreNotGathered(t *testing.T) {
	t.Parallel()
	s := &endless{records: 20_000} // 20 MB
	e := start(t, func(c *server.Config) { s.Store, c.Store = c.Store, s })
	path := e.fill("x", 1, 1)
	r := httptest.NewRequest("POST", path+"/getExecutionLogs?api-version="+version, strings.NewReader(`["Output"]`))
	r.Header.Set("Authorization", "Bearer "+token)
	e.server.ServeHTTP(sink{s, httptest.NewRecorder()}, r)
	if s.most == 0 || s.most > 512<<10 {
		t.Errorf("%d bytes were in hand at once", s.most)
	}
}

// Executions have a parameter of 100 KB each, and there are always more of them.
func (s *endless) Executions(_ context.Context, _ domain.CloudID, after string, limit int) (page []domain.Execution, next string, err error) {
	for range limit {
		s.given += 100_000
		after += "x"
		page = append(page, domain.Execution{Name: after, Parameters: []domain.Parameter{{Name: "p", Type: manifest.String, Value: strings.Repeat("x", 100_000)}}})
	}
	s.most = max(s.most, s.given)
	return page, after, nil
}

// Nor does a list gather what it lists, and its pages are bounded all the same.
func TestListsAreNotGathered(t *testing.T) {
	t.Parallel()
	s := &endless{}
	e := start(t, func(c *server.Config) { s.Store, c.Store = c.Store, s })
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", cloudPath+"/scriptExecutions?api-version="+version, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	e.server.ServeHTTP(sink{s, w}, r)
	page := decode[struct {
		Value    []executionReply
		NextLink string
	}](t, reply{w.Result(), w.Body.Bytes()})
	if s.most == 0 || s.most > 2<<20 {
		t.Errorf("%d bytes were in hand at once", s.most)
	}
	if len(page.Value) != 100 || !strings.Contains(page.NextLink, "%24skipToken="+strings.Repeat("x", 100)+"&") {
		t.Errorf("%d executions, then %s", len(page.Value), page.NextLink)
	}
}

// faulty fails in the middle of an answer.
type faulty struct{ server.Store }

func (f faulty) Records(ctx context.Context, id string, after int64, limit, maxBytes int) ([]domain.Record, error) {
	if after > 5000 {
		return nil, errors.New("the disk is gone")
	}
	return f.Store.Records(ctx, id, after, limit, maxBytes)
}

// Half an answer must not look like a whole one.
func TestFailureInTheMiddle(t *testing.T) {
	t.Parallel()
	e := start(t, func(c *server.Config) { c.Store = faulty{c.Store} })
	path := e.fill("x", 8000, 100)
	for method, path := range map[string]string{"POST": path + "/getExecutionLogs", "GET": path + "/streams"} {
		req, err := http.NewRequestWithContext(t.Context(), method, e.https.URL+path+"?api-version="+version, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := e.https.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err == nil {
			t.Errorf("%s ended as if it were whole", path)
		}
		_ = resp.Body.Close()
	}
	if !strings.Contains(e.log.String(), "the disk is gone") {
		t.Error("the log says nothing")
	}
}

// watching tells when a request is no longer held.
type watching struct {
	server.Store
	watched, left chan struct{}
}

func (w watching) Watch(id string) (<-chan struct{}, func()) {
	changed, stop := w.Store.Watch(id)
	w.watched <- struct{}{}
	return changed, func() {
		stop()
		w.left <- struct{}{}
	}
}

func TestHeldRequests(t *testing.T) {
	t.Parallel()
	path := cloudPath + "/scriptExecutions/x"
	// begin has an execution that waits, and the URLs that are held until it ends.
	begin := func(t *testing.T, change func(*server.Config)) (*env, []string) {
		e := start(t, change)
		status, _ := strings.CutPrefix(e.do("PUT", path, put("Start-Sleep", "")).want(t, 201, "").Header.Get("Azure-AsyncOperation"), e.https.URL)
		return e, []string{status, path + "/streams"}
	}
	asksAgain := func(t *testing.T, r reply) {
		t.Helper()
		if r.want(t, 200, "").Header.Get("Retry-After") != "1" || strings.Contains(string(r.body), "endTime") || strings.Contains(string(r.body), `"finished":true`) {
			t.Errorf("the answer is %v %s", r.Header, r.body)
		}
	}
	t.Run("are answered after a time", func(t *testing.T) {
		t.Parallel()
		e, paths := begin(t, func(c *server.Config) { c.Hold = time.Millisecond })
		for _, path := range paths {
			asksAgain(t, e.do("GET", path, ""))
		}
	})
	t.Run("are answered when the server stops", func(t *testing.T) {
		t.Parallel()
		w := watching{watched: make(chan struct{}, 10), left: make(chan struct{}, 10)}
		e, paths := begin(t, func(c *server.Config) { c.Hold, w.Store, c.Store = time.Hour, c.Store, &w })
		answers := make(chan reply)
		for _, path := range paths {
			go func() { answers <- e.do("GET", path, "") }()
		}
		<-w.watched
		<-w.watched
		if err := e.https.Config.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		asksAgain(t, <-answers)
		asksAgain(t, <-answers)
	})
	t.Run("end with their client", func(t *testing.T) {
		t.Parallel()
		w := watching{watched: make(chan struct{}, 10), left: make(chan struct{}, 10)}
		e, paths := begin(t, func(c *server.Config) { c.Hold, w.Store, c.Store = time.Hour, c.Store, &w })
		for _, path := range paths {
			ctx, cancel := context.WithCancel(t.Context())
			req, err := http.NewRequestWithContext(ctx, "GET", e.https.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			query := req.URL.Query()
			query.Set("api-version", version)
			req.URL.RawQuery = query.Encode()
			req.Header.Set("Authorization", "Bearer "+token)
			go func() {
				<-w.watched
				cancel()
			}()
			if resp, err := e.https.Client().Do(req); err == nil {
				_ = resp.Body.Close()
				t.Errorf("answered %d", resp.StatusCode)
			}
			<-w.left
		}
	})
	t.Run("are not too many", func(t *testing.T) {
		t.Parallel()
		e, paths := begin(t, func(c *server.Config) { c.Hold, c.MaxHeld = time.Hour, 1 })
		answers := make(chan reply)
		for range 2 {
			go func() { answers <- e.do("GET", paths[0], "") }()
		}
		asksAgain(t, <-answers) // one of the two finds no place
		e.do("POST", path+"/cancel", "").want(t, 200, "")
		if last := <-answers; !strings.Contains(string(last.want(t, 200, "").body), `"status":"Canceled"`) {
			t.Errorf("the held one is answered %s", last.body)
		}
	})
	t.Run("leave room for others", func(t *testing.T) {
		t.Parallel()
		w := watching{watched: make(chan struct{}, 10), left: make(chan struct{}, 10)}
		stuck := &stuck{entered: make(chan struct{}), leave: make(chan struct{})}
		e, paths := begin(t, func(c *server.Config) {
			c.Hold, c.MaxActive = time.Hour, 1
			stuck.Store, w.Store = c.Store, stuck
			c.Store = &w
		})
		answers := make(chan reply)
		go func() { answers <- e.do("GET", paths[0], "") }()
		<-w.watched
		list := strings.Split(cloudPath, "/resourceGroups")[0] + "/providers/Microsoft.AVS/privateClouds"
		go func() {
			r := e.do("GET", list, "")
			for r.StatusCode == 429 { // until the first is held
				r = e.do("GET", list, "")
			}
			answers <- r
		}()
		<-stuck.entered // the one place is taken, by this one and not by the one that is held
		if r := e.do("GET", path, "").want(t, 429, errors.TooManyRequests); r.Header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After is %q", r.Header.Get("Retry-After"))
		}
		close(stuck.leave)
		(<-answers).want(t, 200, "")
		e.do("POST", path+"/cancel", "").want(t, 200, "")
		(<-answers).want(t, 200, "")
	})
	t.Run("say that the execution was deleted", func(t *testing.T) {
		t.Parallel()
		w := watching{watched: make(chan struct{}, 10), left: make(chan struct{}, 10)}
		e, _ := begin(t, func(c *server.Config) { c.Hold, w.Store, c.Store = time.Hour, c.Store, &w })
		answers := make(chan reply)
		go func() { answers <- e.do("GET", path+"/streams", "") }()
		<-w.watched
		e.do("DELETE", path, "").want(t, 202, "")
		(<-answers).want(t, 404, errors.ResourceNotFound)
	})
}

// stuck is a store in which listing private clouds takes until leave.
type stuck struct {
	server.Store
	entered, leave chan struct{}
}

func (s *stuck) PrivateClouds(ctx context.Context, subscription, group string) ([]domain.PrivateCloud, error) {
	s.entered <- struct{}{}
	<-s.leave
	return s.Store.PrivateClouds(ctx, subscription, group)
}

// How much it costs to read a long output: bytes allocated for each line must not grow with their number.
func BenchmarkFollow(b *testing.B) {
	for _, lines := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(lines, "-lines"), func(b *testing.B) {
			e := start(b)
			path := e.fill("x", lines, 80)
			b.ReportAllocs()
			for b.Loop() {
				for last := int64(0); ; {
					r := httptest.NewRequest("GET", fmt.Sprintf("%s/streams?after=%d&api-version=%s", path, last, version), nil)
					r.Header.Set("Authorization", "Bearer "+token)
					end := &ending{header: http.Header{}}
					e.server.ServeHTTP(end, r)
					if strings.Contains(string(end.last), `"finished":true`) {
						break
					}
					if _, after, ok := strings.Cut(string(end.last), `"last":`); !ok {
						b.Fatalf("the answer ends in %s", end.last)
					} else if _, err := fmt.Sscan(strings.SplitN(after, ",", 2)[0], &last); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(lines)*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}

// ending keeps the end of an answer only.
type ending struct {
	header http.Header
	last   []byte
}

func (e *ending) Header() http.Header { return e.header }
func (e *ending) WriteHeader(int)     {}
func (e *ending) Write(b []byte) (int, error) {
	e.last = append(e.last[:0], b[max(0, len(b)-100):]...)
	return len(b), nil
}
