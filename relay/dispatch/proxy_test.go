package dispatch

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"countersign/outbox"
	"countersign/relay/send"
)

// answering is an egress proxy that gives everybody one answer.
func answering(t *testing.T, answer string) *send.Proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.WriteString(c, answer)
				}
			}()
		}
	}()
	p, err := send.NewProxy("http://"+ln.Addr().String(), "")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestProxyIsNotThePartner: what the egress proxy answers is a failure, with a reason of its own
// and no code; it neither slows the endpoint down, nor disables it, nor makes a delivery dead as
// refused by its partner after an hour.
func TestProxyIsNotThePartner(t *testing.T) {
	schedule := Schedule{First: time.Minute, Factor: 2, Max: time.Hour, Attempts: 4}
	f := func(what string, o send.Options, url, reason string, want outbox.Outcome) {
		t.Helper()
		a, err := send.New(o).Pool(send.PoolOptions{}).Post(t.Context(), url, nil, []byte("{}"), patience)
		v := read(&a, err)
		out := settle(&outbox.Delivery{Failures: 1}, v, &a, schedule, at(0), time.Second, refusals{since: at(-60), times: 3})
		if v.reason != reason || v.ok || v.slow || v.disable || out.Code != 0 || out.Outcome != want {
			t.Errorf("%s: %+v, %s with code %d; want %s and %s", what, v, out.Outcome, out.Code, reason, want)
		}
	}
	for code, reason := range map[int]string{407: send.ProxyAuth, 403: send.ProxyRefused, 410: send.ProxyRefused, 429: send.ProxyRefused, 502: send.ProxyFailed, 503: send.ProxyFailed} {
		proxy := answering(t, fmt.Sprintf("HTTP/1.1 %d No\r\nRetry-After: 300\r\n\r\n", code))
		f(fmt.Sprint("the proxy answers ", code), send.Options{Proxy: proxy}, "http://127.0.0.1:9/", reason, outbox.Retry)
	}
	out := settle(&outbox.Delivery{Failures: 1}, read(&send.Answer{Code: 407}, nil), &send.Answer{Code: 407}, schedule, at(0), time.Second, refusals{since: at(-60), times: 3})
	if out.Outcome != outbox.Died {
		t.Errorf("the control: the partner itself answers 407, %s", out.Outcome)
	}
}
