package ingest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"countersign/ingest/journal"
)

// earlyAnswers are requests that are answered before their body is read, by the status.
func earlyAnswers(t *testing.T, size int) map[string]int {
	t.Helper()
	body := strings.Repeat("x", size)
	return map[string]int{
		genuine(t, "sumsub", body):                        413,
		post(pathPrefix+"nobody", body):                   404,
		genuine(t, "walled", body):                        403,
		genuine(t, "slow", body):                          429,
		inChunks(genuine(t, "small", body), size):         413,
		inChunks(post(pathPrefix+"nobody", body), size/3): 404,
		request("PUT", pathPrefix+"sumsub", body, fmt.Sprintf("Content-Length: %d", size)):                 405,
		request("POST", pathPrefix+"sumsub", body):                                                         411,
		post("/v1//callbacks/sumsub", body):                                                                400,
		request("POST", pathPrefix+"sumsub", body, "Content-Length: 1, 1"):                                 400,
		request("POST", pathPrefix+"sumsub", body, "Transfer-Encoding: gzip"):                              400,
		request("POST", pathPrefix+"sumsub", "nonsense"+body, "Transfer-Encoding: chunked"):                400,
		request("POST", pathPrefix+"sumsub", body, "X-Long: "+strings.Repeat("h", 20_000)):                 431,
		request("POST", pathPrefix+"sumsub", "1;"+strings.Repeat("e", size), "Transfer-Encoding: chunked"): 400,
	}
}

// stubborn sends all it has, on a connection with small buffers, before it reads an answer, as
// clients do that were not made for early ones. It returns the answer, and what became of the
// sending.
func (d *door) stubborn(raw string, over *tls.Config) (a answer, sent, err error) {
	d.t.Helper()
	c := d.dial()
	defer c.Close()
	if over != nil {
		c = tls.Client(c, over)
	}
	_, sent = io.WriteString(c, raw)
	a, err = read(bufio.NewReader(c))
	return a, sent, err
}

// TestEarlyAnswers: an answer that is given before a large body has been read is read by who sends
// the body, all of it, over TCP and over TLS.
func TestEarlyAnswers(t *testing.T) {
	p := newPair(t)
	certificate, err := NewCertificate(p.cert, p.key, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	slow := func(o *Options) {
		for i := range o.Sources {
			if o.Sources[i].Name == "slow" {
				o.Sources[i].Rate, o.Sources[i].MaxBody = 0.001, 16<<20
			}
		}
	}
	for _, over := range []*tls.Config{nil, {InsecureSkipVerify: true}} {
		d := open(t, slow, func(o *Options) {
			if over != nil {
				o.TLS = certificate
			}
		})
		if a, sent, err := d.stubborn(genuine(t, "slow", "ignored"), over); sent != nil || err != nil || a.status != 200 { // the one of its rate
			t.Fatalf("%d, %v, %v", a.status, sent, err)
		}
		for _, size := range []int{1 << 20, 8 << 20} {
			for raw, status := range earlyAnswers(t, size+1) {
				a, sent, err := d.stubborn(raw, over)
				if sent != nil || err != nil || a.status != status {
					t.Errorf("TLS %v, %d bytes: %d, sent %v, read %v; want %d: %.70q", over != nil, size, a.status, sent, err, status, raw)
				}
			}
		}
		eventually(t, "no connection is left", func() bool { return d.ln.count() == 0 })
	}
}

// TestEarlyAnswersToClients is the same with Go's client, which has its body sent while it waits
// for the answer.
func TestEarlyAnswersToClients(t *testing.T) {
	d := open(t)
	client := &http.Client{Transport: &http.Transport{}, Timeout: 4 * patience}
	defer client.CloseIdleConnections()
	for path, status := range map[string]int{"small": 413, "nobody": 404, "walled": 403, "sumsub//": 400} {
		for _, size := range []int{1 << 20, 8 << 20} {
			for _, inChunks := range []bool{false, true} {
				for range 5 {
					var body io.Reader = bytes.NewReader(make([]byte, size))
					if inChunks {
						body = io.MultiReader(body)
					}
					res, err := client.Post("http://"+d.addr+pathPrefix+path, "application/json", body)
					if err != nil || res.StatusCode != status {
						t.Errorf("%s, %d bytes, in chunks %v: %v, %v; want %d", path, size, inChunks, res, err, status)
						continue
					}
					res.Body.Close()
				}
			}
		}
	}
}

// TestLingerEnds: what is drained is bounded, in bytes, in time and in number, and whoever closes
// is not waited for.
func TestLingerEnds(t *testing.T) {
	d := open(t, func(o *Options) { o.MaxConns, o.ConnsOfAddress = 8, 8 })
	refused := func() net.Conn {
		t.Helper()
		c := d.dial()
		io.WriteString(c, "POST /v1/callbacks/nobody HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999\r\n\r\nx")
		if a, err := read(bufio.NewReader(c)); err != nil || a.status != 404 {
			t.Fatalf("%d, %v; want 404", a.status, err)
		}
		return c
	}
	refused().Close()
	eventually(t, "the one that closed is gone", func() bool { return d.ln.count() == 0 })

	silent, started := refused(), time.Now() // fasthttp would wait for the rest of ReadTimeout
	eventually(t, "it lingers", func() bool { return d.lingers() == 1 })
	eventually(t, "the silent one is closed", func() bool { return d.ln.count() == 0 })
	if took := time.Since(started); took < lingerIdle/2 {
		t.Errorf("closed after %v, want %v", took, lingerIdle)
	}
	silent.Close()

	endless := refused()
	endless.SetDeadline(time.Now().Add(2 * lingerTime))
	sent, err := io.Copy(endless, zeros{})
	if sent < lingerBytes/2 || sent > lingerBytes+16<<20 || timedOut(err) {
		t.Errorf("%d bytes were drained, then %v; want about %d", sent, err, lingerBytes)
	}

	sending := func() net.Conn {
		c := refused()
		go func() {
			for tick := time.NewTicker(lingerIdle / 20); ; <-tick.C {
				if _, err := io.WriteString(c, "x"); err != nil {
					tick.Stop()
					return
				}
			}
		}()
		return c
	}
	conns := []net.Conn{sending(), sending()}
	eventually(t, "two linger", func() bool { return d.lingers() == 2 })
	conns = append(conns, sending())
	eventually(t, "the first gave way to the third", func() bool { return d.lingers() == 2 && isReset(conns[0]) })
	for _, c := range conns {
		c.Close()
	}
	eventually(t, "none is left", func() bool { return d.ln.count() == 0 })
}

// drips sends a byte every now and then until that fails.
func drips(c net.Conn) (ended chan struct{}) {
	ended = make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(lingerHasty / 5)
		defer tick.Stop()
		for range tick.C {
			if _, err := io.WriteString(c, "x"); err != nil {
				return
			}
		}
	}()
	return ended
}

// TestLingerWhileStopping: a stop waits for nobody who is only drained, and drains nobody for long,
// although others have their grace.
func TestLingerWhileStopping(t *testing.T) {
	d := open(t, func(o *Options) { o.Grace, o.ReadTimeout = time.Minute, time.Minute })
	begun := d.dial()
	io.WriteString(begun, "POST /v1/call")
	c := d.dial()
	c.SetDeadline(time.Time{})
	io.WriteString(c, "POST /v1/callbacks/nobody HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999\r\n\r\nx")
	if a, err := read(bufio.NewReader(c)); err != nil || a.status != 404 {
		t.Fatalf("%d, %v; want 404", a.status, err)
	}
	ended := drips(c)
	eventually(t, "it lingers", func() bool { return d.lingers() == 1 })
	stopped := make(chan error, 1)
	go func() { stopped <- d.stop() }()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("it still lingers")
	}
	eventually(t, "the one with its grace is left", func() bool { return d.ln.count() == 1 && len(d.ln.begun()) == 1 })
	begun.Close()
	if err := <-stopped; err != nil {
		t.Errorf("Run = %v", err)
	}
}

// TestSlowIsNotDrained: who was too slow with the request is not given more time after the answer.
func TestSlowIsNotDrained(t *testing.T) {
	d := open(t, func(o *Options) { o.ReadTimeout = glance })
	for _, begins := range []string{"POST /v1/callbacks/sumsub HTTP/1.1\r\nX-More: ", someBody} {
		c := d.dial()
		c.SetDeadline(time.Time{})
		io.WriteString(c, begins)
		ended := drips(c)
		if a, err := read(bufio.NewReader(c)); err != nil || a.status != 400 {
			t.Errorf("%d, %v; want 400", a.status, err)
		}
		select {
		case <-ended:
		case <-time.After(lingerTime / 2):
			t.Errorf("%.10q: it is drained all the same", begins)
		}
	}
}

// TestPipelinedBehindRefused: what stands behind a refused request is drained, not served.
func TestPipelinedBehindRefused(t *testing.T) {
	d := open(t)
	d.held.set(fmt.Errorf("append: %w", journal.ErrFull), nil)
	a, sent, err := d.stubborn(post(pathPrefix+"nobody", "x")+strings.Repeat(approval(t, "sumsub", "smuggled"), 5000), nil)
	if a.status != 404 || sent != nil || err != nil || d.held.called() != 0 {
		t.Errorf("%d, sent %v, read %v, taken %d", a.status, sent, err, d.held.called())
	}
}

// lingers is how many connections are being drained.
func (d *door) lingers() int {
	d.ln.mu.Lock()
	defer d.ln.mu.Unlock()
	return len(d.ln.lingered)
}

// isReset reports whether the other side has closed without having read everything.
func isReset(c net.Conn) bool {
	_, err := io.WriteString(c, "x")
	return err != nil && !errors.Is(err, net.ErrClosed)
}

// zeros never end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }
