package server

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"time"
)

// How long a client may take for each piece of an answer, and for its request's body.
const (
	writePatience = 30 * time.Second
	bodyPatience  = 10 * time.Second
)

// answer is a ResponseWriter that knows whether the answer has begun, and does not wait for ever for a client that
// does not read.
type answer struct {
	http.ResponseWriter
	control *http.ResponseController
	begun   bool
	broken  bool // a write failed: the client is gone or does not read
}

func (a *answer) WriteHeader(status int) {
	a.begin()
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	a.begin()
	n, err := a.ResponseWriter.Write(b)
	a.broken = a.broken || err != nil
	return n, err
}

func (a *answer) begin() {
	a.begun = true
	_ = a.control.SetWriteDeadline(time.Now().Add(writePatience)) // a ResponseWriter without deadlines has its own way
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// send writes a whole answer. A client that is gone is no error.
func (a *answer) send(status int, body any) error {
	var b bytes.Buffer
	if err := encoder(&b).Encode(body); err != nil {
		return err
	}
	a.Header().Set("Content-Type", "application/json; charset=utf-8")
	a.WriteHeader(status)
	_, _ = a.Write(b.Bytes())
	return nil
}

// address is the absolute URL of path on this server, as the client called it. Clients take no other form, and no
// other scheme with a token.
func (r *request) address(path string, query url.Values) string {
	query.Set("api-version", r.version)
	u := url.URL{Scheme: "https", Host: r.Host, Path: path, RawQuery: query.Encode()}
	return u.String()
}

// list is a list in ARM's form that has one page.
type list[T any] struct {
	Value []T `json:"value"`
}

// encoder writes JSON without the escapes that are for HTML only.
func encoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}
