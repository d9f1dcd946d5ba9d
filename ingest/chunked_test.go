package ingest

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/ingest/provider"
)

// inChunks sends the body of a raw request in chunks of some bytes, instead of with a
// Content-Length.
func inChunks(raw string, size int) string {
	head, body, _ := strings.Cut(raw, "\r\n\r\n")
	lines := slices.DeleteFunc(strings.Split(head, "\r\n"), func(line string) bool { return strings.HasPrefix(line, "Content-Length:") })
	var b strings.Builder
	b.WriteString(strings.Join(append(lines, "Transfer-Encoding: chunked", "", ""), "\r\n"))
	for len(body) > 0 {
		n := min(size, len(body))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	b.WriteString("0\r\n\r\n")
	return b.String()
}

// budget changes how much memory there is for bodies.
func (d *door) budget(n int64) {
	d.bodies.mu.Lock()
	defer d.bodies.mu.Unlock()
	d.bodies.limit, d.bodies.perSource, d.bodies.perAddress = n, n, n
}

// TestChunked: a body in chunks is what its chunks come to, up to max_body, however it is cut; the
// connection ends with its answer.
func TestChunked(t *testing.T) {
	d := open(t)
	padded := func(n int) string {
		body := sample(t, "sumsub", "approved", provider.SampleVars{})
		return body + strings.Repeat(" ", n-len(body))
	}
	taken := 0
	f := func(source string, status, n int, chunks ...int) {
		t.Helper()
		for _, size := range chunks {
			raw := inChunks(genuine(t, source, padded(n)), size)
			answers, closed := d.send(raw+approval(t, "sumsub", "smuggled"), false)
			if len(answers) != 1 || answers[0].status != status || !closed {
				t.Errorf("%s, %d bytes in chunks of %d: %v, closed %v; want one of %d, and closed", source, n, size, answers, closed, status)
			}
			if status == 200 {
				taken++
			}
		}
	}
	f("sumsub", 200, 500, 1, 2, 100, 499, 500)
	f("sumsub", 200, leastRoom-1, 1, leastRoom-1)
	f("sumsub", 200, leastRoom, 1, leastRoom-1, leastRoom)
	f("sumsub", 200, leastRoom+1, 7, leastRoom, leastRoom+1)
	f("sumsub", 200, 1<<20, 10_000, 1<<20)
	f("sumsub", 413, 1<<20+1, 10_000, 1<<20, 1<<20+1)
	f("sumsub", 413, 8<<20, 8<<20)
	f("small", 200, 1000, 1, 999, 1000)
	f("small", 413, 1001, 1, 1000, 1001)
	if n := len(d.updates()); n != taken {
		t.Errorf("%d updates, want %d", n, taken)
	}
	if a := d.ask(inChunks(post(pathPrefix+"sumsub", padded(500), signed(t, "sumsub", padded(501))...), 100)); a.status != 401 {
		t.Errorf("another body than was signed: %d, want 401", a.status)
	}
	if held := d.bodies.holds(); held != 0 {
		t.Errorf("%v bytes are still held", held)
	}
}

// TestChunksThatLie: what parsers may read differently is refused, nothing behind it is served, and
// what is not whole is no body, even where nothing else proves it.
func TestChunksThatLie(t *testing.T) {
	d := open(t)
	hidden := approval(t, "sumsub", "smuggled")
	body := sample(t, "rebilly", "request_fulfilled", provider.SampleVars{})
	start := request("POST", pathPrefix+"trusting", "", append(signed(t, "trusting", body), "Transfer-Encoding: chunked")...)
	whole := fmt.Sprintf("%x\r\n%s\r\n", len(body), body)
	if a := d.ask(start + whole + "0\r\n\r\n"); a.status != 200 {
		t.Fatalf("the chunks themselves are wrong: %d", a.status)
	}
	before := d.held.called()
	f := func(name string, status int, raw string) {
		t.Helper()
		for _, behind := range []string{"", hidden} {
			for _, half := range []bool{false, true} {
				if behind == "" && !half { // it is waited for
					continue
				}
				answers, closed := d.send(raw+behind, half)
				if len(answers) != 1 || answers[0].status != status || !closed {
					t.Errorf("%s: %v, closed %v; want one of %d, and closed", name, answers, closed, status)
				}
				if d.held.called() != before {
					t.Fatalf("%s: something was taken", name)
				}
			}
		}
	}
	chunk := func(name, chunks string) { t.Helper(); f(name, 400, start+chunks) }
	chunk("LF behind a size", "2\nhi\r\n0\r\n\r\n")
	chunk("LF in an extension", "2;a\nb\r\nhi\r\n0\r\n\r\n")
	chunk("CR in an extension", "2;a\rb\r\nhi\r\n0\r\n\r\n")
	chunk("LF behind a chunk", "2\r\nhi\n0\r\n\r\n")
	chunk("nothing behind a chunk", "2\r\nhi0\r\n\r\n")
	chunk("more than its size", "2\r\nhim\r\n0\r\n\r\n")
	chunk("no size", "\r\nhi\r\n0\r\n\r\n")
	chunk("a size of words", "two\r\nhi\r\n0\r\n\r\n")
	chunk("0x", "0x2\r\nhi\r\n0\r\n\r\n")
	chunk("plus", "+2\r\nhi\r\n0\r\n\r\n")
	chunk("minus", "-2\r\nhi\r\n0\r\n\r\n")
	chunk("blank before a size", " 2\r\nhi\r\n0\r\n\r\n")
	chunk("a size beyond 64 bits", "10000000000000002\r\nhi\r\n0\r\n\r\n")
	chunk("a size of many digits", strings.Repeat("0", 100)+"2\r\nhi\r\n0\r\n\r\n")
	for _, endless := range []string{"2;" + strings.Repeat("x", 1<<20), strings.Repeat("1;"+strings.Repeat("x", 1000)+"\r\ny\r\n", 1000)} {
		if answers, closed := d.send(start+endless, false); len(answers) != 1 || answers[0].status != 400 || !closed {
			t.Errorf("more around a body than in it: %v, closed %v; want 400 before its end", answers, closed)
		}
	}
	chunk("a header behind it", whole+"0\r\nX-More: 1\r\n\r\n")
	chunk("headers behind it without end", whole+"0\r\n"+strings.Repeat("X-More: 1\r\n", 10_000))
	chunk("a length behind it", whole+"0\r\nContent-Length: 5\r\n\r\n")
	chunk("another proof behind it", whole+"0\r\nAuthorization: Basic eA==\r\n\r\n")
	f("CL and TE", 400, strings.Replace(start, "Transfer-Encoding", "Content-Length: 5\r\nTransfer-Encoding", 1)+whole+"0\r\n\r\n")
	for _, encoding := range []string{"xchunked", "gzip, chunked", "chunked, gzip", "chunked, chunked", "identity, chunked", "chunked;q=1", "\"chunked\"", "\vchunked", "chunked\x00", "gzip"} {
		f("TE "+encoding, 400, strings.Replace(start, "chunked", encoding, 1)+whole+"0\r\n\r\n")
	}
	f("TE twice", 400, strings.Replace(start, "Transfer-Encoding", "Transfer-Encoding: chunked\r\nTransfer-Encoding", 1)+whole+"0\r\n\r\n")
	f("TE identity", 411, strings.Replace(start, "chunked", "identity", 1)+whole+"0\r\n\r\n")
	f("HTTP/1.0", 400, strings.Replace(start, "HTTP/1.1", "HTTP/1.0", 1)+whole+"0\r\n\r\n")

	hidden = "" // nothing may be behind what is not whole
	for _, end := range []string{"", "0", "0\r\n", "0\r\n\r"} {
		f(fmt.Sprintf("cut off behind %q", end), 400, start+whole+end)
	}
	f("cut off in a chunk", 400, start+strings.TrimSuffix(whole, "\r\n"))
}

// TestChunksCutOffInTLS: an end inside TLS is no end of a body either.
func TestChunksCutOffInTLS(t *testing.T) {
	p := newPair(t)
	certificate, err := NewCertificate(p.cert, p.key, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	d := open(t, func(o *Options) { o.TLS = certificate })
	body := sample(t, "rebilly", "request_fulfilled", provider.SampleVars{})
	raw := inChunks(genuine(t, "trusting", body), len(body))
	f := func(status int, raw string) {
		t.Helper()
		c := tls.Client(d.dial(), &tls.Config{InsecureSkipVerify: true})
		io.WriteString(c, raw)
		c.CloseWrite()
		if a, err := read(bufio.NewReader(c)); err != nil || a.status != status {
			t.Errorf("%d, %v; want %d", a.status, err, status)
		}
	}
	f(200, raw)
	for _, missing := range []string{"\r\n", "\r\n\r\n", "0\r\n\r\n"} {
		f(400, strings.TrimSuffix(raw, missing))
	}
	if n := d.held.called(); n != 1 {
		t.Errorf("%d were taken, want the whole one", n)
	}
}
