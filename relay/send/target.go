package send

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// target is what a URL comes to. A pool keeps the last one: an endpoint has one URL, and reading it
// costs as much as reading an answer (BenchmarkPost).
type target struct {
	raw     string
	url     *url.URL
	refused *failure // nothing may be sent there
	plain   bool     // nothing about it is unusual; what is goes through net/http, which knows the rest
	secure  bool     // https
	origin  string   // scheme, host and port: connections to it serve each URL of it
	address string   // host:port
	host    string   // for TLS
	head    []byte   // of every request: the request line, Host and User-Agent
}

// target returns what a URL comes to.
func (p *Pool) target(raw string) *target {
	if at := p.last.Load(); at != nil && at.raw == raw {
		return at
	}
	at := p.c.o.parse(raw)
	p.last.Store(at)
	return at
}

func (o *Options) parse(raw string) *target {
	at := &target{raw: raw}
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" { // without a name the dialer would take this machine
		at.refused = &failure{reason: Other, text: "the URL cannot be used"}
		return at
	}
	if o.LiveMode && u.Scheme != "https" {
		at.refused = &failure{reason: RefusedAddress, text: "plain http is refused in live mode", is: ErrRefused}
		return at
	}
	u.User = nil // never sent: a password in a URL is a mistake that CheckURL refuses
	at.url, at.secure, at.host = u, u.Scheme == "https", u.Hostname()
	port := orDefault(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	at.address = net.JoinHostPort(at.host, port)
	at.origin = u.Scheme + "://" + at.address
	uri := u.RequestURI()
	at.plain = (at.secure || u.Scheme == "http") && u.Opaque == "" && usualHost(at.host) && usualPort(port) && !strings.HasSuffix(u.Host, ":") &&
		visibleASCII(uri) && validValue(o.UserAgent)
	at.head = []byte("POST " + uri + " HTTP/1.1\r\nHost: " + u.Host + "\r\nUser-Agent: " + strings.TrimSpace(o.UserAgent) + "\r\n")
	return at
}

// usualHost reports whether a host is an address, or a name that goes to DNS and into a header as it
// is.
func usualHost(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Zone() == ""
	}
	return strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == ""
}

func usualPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

func visibleASCII(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// ownLine is a header that goes with every request of an endpoint, by the name that it is written
// with. Its value may be a secret.
type ownLine struct {
	name  string
	value func() string
}

// Format writes the name, whatever the verb.
func (l ownLine) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, l.name+": (not shown)") }

func ownLines(headers []Header) (lines []ownLine) {
	for _, h := range headers {
		name := http.CanonicalHeaderKey(h.Name)
		if _, never := ours[strings.ToLower(name)]; !never && validName(name) && validValue(h.value()) {
			lines = append(lines, ownLine{name, h.value})
		}
	}
	return lines
}

// ours are headers that nobody else sets: those that the client writes itself, or that say how a
// message ends and what becomes of the connection. Idempotency-Key makes net/http send a POST again
// by itself, as often as it finds a dead connection; attempts are the outbox's to count.
var ours = map[string]struct{}{
	"host": {}, "user-agent": {}, "content-length": {}, "transfer-encoding": {}, "trailer": {}, "idempotency-key": {}, "x-idempotency-key": {},
	"connection": {}, "proxy-connection": {}, "keep-alive": {}, "expect": {}, "te": {}, "upgrade": {},
}

var errHeader = &failure{reason: Other, text: "a header of the request cannot be sent"}

// request writes a request into out, once for all times that it is sent. What the endpoint's own
// headers would overwrite stays: signatures are nobody else's to set. A name or a value that could
// end its line is an error, and nothing is sent.
func (x *exchange) request(p *Pool, at *target, f Fields, body []byte) error {
	if x.made {
		return nil
	}
	b := append(x.out[:0], at.head...)
	b = append(b, "Content-Length: "...)
	b = append(strconv.AppendInt(b, int64(len(body)), 10), "\r\n"...)
	for i := range f {
		if isOurs(f[i].Name) {
			continue
		}
		if !validName(f[i].Name) || !validValue(f[i].Value) {
			return errHeader
		}
		b = appendField(b, f[i].Name, f[i].Value)
	}
	for _, own := range p.own {
		if !f.has(own.name) {
			b = appendField(b, own.name, own.value())
		}
	}
	b = append(b, "\r\n"...)
	if x.rest = nil; len(b)+len(body) <= oneWrite {
		b = append(b, body...)
	} else {
		x.rest = body
	}
	x.out, x.made = b, true
	return nil
}

func appendField(b []byte, name, value string) []byte {
	b = append(append(b, name...), ": "...)
	return append(append(b, strings.Trim(value, " \t")...), "\r\n"...)
}

// isOurs tells the names of ours, however they are spelled.
func isOurs(name string) bool {
	var lower [len("x-idempotency-key")]byte
	if len(name) > len(lower) {
		return false
	}
	for i := range len(name) {
		lower[i] = lowered(name[i])
	}
	_, yes := ours[string(lower[:len(name)])]
	return yes
}

func lowered(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// token has the bytes of a header's name.
var token = func() (t [256]bool) {
	for _, c := range []byte(tokenBytes) {
		t[c] = true
	}
	return t
}()

func validName[T string | []byte](name T) bool {
	for i := range len(name) {
		if !token[name[i]] {
			return false
		}
	}
	return len(name) > 0
}

// validValue reports whether a value holds nothing that could end its line.
func validValue[T string | []byte](value T) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
