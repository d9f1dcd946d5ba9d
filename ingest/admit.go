package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/valyala/fasthttp"

	"countersign/signing"
)

const pathPrefix = "/v1/callbacks/"

// TriggerHeader marks a callback that the command line has made. It is signed with the source's own
// key, so nothing else tells it from the provider's word: where people are real it is refused. Who
// has the key and leaves the header out is not the command line, and may say what he likes; that is
// what the key is for.
const TriggerHeader = "Countersign-Trigger"

// admit decides on everything that needs no body.
func (in *Ingress) admit(ctx *fasthttp.RequestCtx) (*source, *refusal) {
	h := &ctx.Request.Header
	path, _, _ := bytes.Cut(h.RequestURI(), []byte{'?'})
	rest, ok := bytes.CutPrefix(path, []byte(pathPrefix))
	if tricky(path) {
		return nil, refuse(badRequest, errors.New("path with encoded, doubled or dot segments"))
	}
	name, token, hasToken := bytes.Cut(bytes.TrimSuffix(rest, []byte{'/'}), []byte{'/'}) // one slash at the end is forgiven
	now := in.set.Load()                                                                 // this request sees no other
	src := now.sources[string(name)]
	if !ok || src == nil || src.Adapter.Stream != nil || !src.tokenFits(token, hasToken) {
		return nil, refuse(unknownSource, errors.New("no such source, or not its token"))
	}
	headers := sentHeaders(h.RawHeaders())
	from := now.client(ctx)
	ours(ctx.Conn()).client = from
	switch {
	case !ctx.IsPost():
		return src, refuse(method, nil)
	case !src.allows(from):
		return src, refuse(address, errors.New("client address is not in allow"))
	case (in.o.Live || src.Livemode) && len(h.Peek(TriggerHeader)) > 0:
		return src, refuse(triggered, errors.New("made by countersign trigger, which is for test people only"))
	case in.stopping.Load():
		return src, refuse(stopping, nil)
	case !src.keyed && !src.limit.Allow():
		return src, refuse(tooFast, nil)
	case headers.folded:
		return src, refuse(badRequest, errors.New("a header goes on in a second line"))
	case headers.misnamed:
		return src, refuse(badRequest, errors.New("a header's name is no token"))
	case headers.lengths > 0 && headers.transfer > 0:
		return src, refuse(badRequest, errors.New("both Content-Length and Transfer-Encoding"))
	case headers.lengths == 0 && h.ContentLength() != chunked:
		return src, refuse(noLength, errors.New("neither chunked nor with a Content-Length"))
	case int64(h.ContentLength()) > src.MaxBody:
		return src, refuse(tooLarge, fmt.Errorf("%d bytes announced, max_body is %d", h.ContentLength(), src.MaxBody))
	case headers.types > 1, headers.encodings > 1:
		return src, refuse(badRequest, errors.New("duplicated Content-Type or Content-Encoding"))
	case compressed(h.Peek("Content-Encoding")):
		return src, refuse(badRequest, errors.New("compressed bodies are not accepted"))
	}
	return src, nil
}

// chunked is the length that fasthttp says of a body that comes in chunks.
const chunked = -1

// compressed reports whether a body is encoded by any other name than that of nothing.
func compressed(encoding []byte) bool {
	encoding = bytes.Trim(encoding, " \t")
	return len(encoding) > 0 && !bytes.EqualFold(encoding, []byte("identity"))
}

// sent counts the headers that fasthttp makes one of, or makes up: it keeps the last Content-Type,
// and gives a request without Content-Length one of 0.
type sent struct {
	lengths, transfer, types, encodings int
	folded, misnamed                    bool
}

func sentHeaders(raw []byte) (s sent) {
	if credulous {
		return sent{lengths: 1}
	}
	for more := true; more; {
		var line []byte
		if line, raw, more = bytes.Cut(raw, []byte{'\n'}); len(line) > 0 {
			s.line(line)
		}
	}
	return s
}

// line counts one line, which is not empty. Only what begins like a header that is counted is compared with it.
func (s *sent) line(line []byte) {
	name, _, _ := bytes.Cut(line, []byte{':'})
	switch first := line[0] | 0x20; {
	case line[0] == ' ' || line[0] == '\t':
		s.folded = true
	case first == 't' && bytes.EqualFold(name, []byte("Transfer-Encoding")):
		s.transfer++
	case first == 'c' && bytes.EqualFold(name, []byte("Content-Length")):
		s.lengths++
	case first == 'c' && bytes.EqualFold(name, []byte("Content-Type")):
		s.types++
	case first == 'c' && bytes.EqualFold(name, []byte("Content-Encoding")):
		s.encodings++
	default:
		for _, c := range name {
			s.misnamed = s.misnamed || noToken[c]
		}
	}
}

// noToken are the bytes that stand in no header's name; fasthttp has refused what is stranger.
var noToken = func() (no [256]bool) {
	for _, c := range []byte(" \t(){}[]<>@,;\\\"/?=") {
		no[c] = true
	}
	return no
}()

// tricky reports a path that might mean another one to a proxy: with encoded, doubled or dot
// segments.
func tricky(path []byte) bool {
	if len(path) == 0 || path[0] != '/' {
		return true
	}
	for from := 1; ; {
		n := bytes.IndexByte(path[from:], '/')
		segment := path[from:]
		if n >= 0 {
			segment = segment[:n]
		}
		switch {
		case bytes.IndexByte(segment, '%') >= 0 || bytes.IndexByte(segment, '\\') >= 0,
			len(segment) == 1 && segment[0] == '.', len(segment) == 2 && segment[0] == '.' && segment[1] == '.':
			return true
		case n < 0:
			return false
		case n == 0:
			return true
		}
		from += n + 1
	}
}

// tokenFits compares in constant time. A source without a token takes no further segment.
func (s *source) tokenFits(token []byte, has bool) bool {
	if len(s.Token) == 0 {
		return !has
	}
	return has && signing.Static{Header: "token", Scheme: signing.Raw}.Verify(segment(token), nil, s.Token, time.Time{}) == nil
}

// segment shows a path segment as if it were a header, so that the one constant-time comparison we
// have serves for it too.
type segment string

// Values implements signing.Header.
func (s segment) Values(string) []string { return []string{string(s)} }

// Set and Add implement signing.Header; a segment is only read.
func (segment) Set(string, string) {}

// Add implements signing.Header.
func (segment) Add(string, string) {}

func (s *source) allows(client netip.Addr) bool {
	if len(s.Allow) == 0 {
		return true
	}
	for _, p := range s.Allow {
		if p.Contains(client) {
			return true
		}
	}
	return false
}

func peer(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// trusted reports whether an address may speak for others just now.
func (in *Ingress) trusted(a netip.Addr) bool { return in.set.Load().trusted(a) }

func (now *set) trusted(a netip.Addr) bool {
	for _, p := range now.proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
