package vcproxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// maxUpgrades bounds the WebSockets that one execution has open.
const maxUpgrades = 16

// webSocket says whether a request asks for a WebSocket (RFC 6455) on a path of vAPI, which the policy has opened for
// it. No other protocol and no other service is upgraded: what passes after it is not judged.
func webSocket(r *http.Request, s service) bool {
	return (s == rest || s == api) && r.Method == http.MethodGet && strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// upgrade passes a request for a WebSocket on, and carries what follows until an end closes it or the execution ends.
func (p *proxy) upgrade(w http.ResponseWriter, r *http.Request) *refusal {
	if !p.upgrades.TryAcquire(1) {
		return &refusal{"", http.StatusServiceUnavailable, fmt.Sprintf("The execution has %d WebSockets open, and can have no more; close one.", maxUpgrades)}
	}
	defer p.upgrades.Release(1)
	p.conns.Add(1) // the server counts a connection no more that is taken over
	defer p.conns.Done()
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	p.forward.ServeHTTP(&taken{ResponseWriter: w, r: r}, r)
	return nil
}

// taken cuts a connection that is taken over when the execution ends. httputil closes vCenter's end only, and then waits
// for the script's where the other has ended in good order.
type taken struct {
	http.ResponseWriter
	r *http.Request
}

// Hijack implements http.Hijacker.
func (t *taken) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(t.ResponseWriter).Hijack()
	if err == nil {
		cut := conn
		if over, is := conn.(*tls.Conn); is {
			cut = over.NetConn() // TLS would say goodbye first, to who may not listen
		}
		context.AfterFunc(t.r.Context(), func() { _ = cut.Close() })
	}
	return conn, buffered, err
}

// Unwrap lets http.ResponseController through.
func (t *taken) Unwrap() http.ResponseWriter { return t.ResponseWriter }
