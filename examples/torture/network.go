package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/airlock-run/airlock/sdk"
)

type networkParams struct {
	Dial   string `airlock:"optional" description:"host:port, with commas between them, to connect to"`
	Get    string `airlock:"optional" description:"URLs, with commas between them, to fetch as most programs do"`
	Tunnel string `airlock:"optional" description:"host:port, with commas between them, to connect to through HTTPS_PROXY in any case"`
}

// attempt bounds each try.
const attempt = 5 * time.Second

// testNetwork says of each destination how far it came: "dial a:1: connected", or what was in the way.
func testNetwork(ctx context.Context, x *sdk.Execution, p networkParams) error {
	for _, way := range []struct {
		name, to string
		try      func(ctx context.Context, to string) (string, error)
	}{{"dial", p.Dial, dial}, {"get", p.Get, get}, {"tunnel", p.Tunnel, tunnel}} {
		for to := range strings.SplitSeq(way.to, ",") {
			if to == "" {
				continue
			}
			bounded, cancel := context.WithTimeout(ctx, attempt)
			result, err := way.try(bounded, to)
			cancel()
			if err != nil {
				result = "error: " + err.Error()
			}
			x.Output(fmt.Sprintf("%s %s: %s", way.name, to, result))
		}
	}
	return nil
}

func dial(ctx context.Context, to string) (string, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", to)
	if err != nil {
		return "", err
	}
	return "connected", conn.Close()
}

func get(ctx context.Context, to string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	return fmt.Sprintf("%d %s", resp.StatusCode, body), err
}

func tunnel(ctx context.Context, to string) (string, error) {
	proxy, err := url.Parse(os.Getenv("HTTPS_PROXY"))
	if err != nil {
		return "", err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", proxy.Host)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", to, to); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line), err
}
