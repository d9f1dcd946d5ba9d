package send

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
)

// said is what was read of an answer.
type said struct {
	Refused     bool
	Code        int
	Kind, Retry string
	Body        string
	Size        int64
	Cut         bool
	Again       bool // as far as the answer goes, the connection may be used again
	Used        int  // bytes of what came
}

// readOurs reads as the client does.
func readOurs(data []byte, slowly bool) said {
	src := bytes.NewReader(data)
	in := input{src: src, buf: make([]byte, 64), came: func() {}}
	if slowly {
		in.src = iotest.OneByteReader(src)
	}
	var h head
	if in.answer(&h) != nil {
		return said{Refused: true}
	}
	s := said{Code: h.code, Kind: string(h.text(h.kind)), Retry: string(h.text(h.retryAfter))}
	body, size, whole, err := in.body(&h)
	s.Body, s.Size, s.Cut = string(body), size, err != nil
	s.Again = whole && !h.last
	if s.Again {
		s.Used = len(data) - src.Len() - (in.w - in.r)
	}
	return s
}

// readTheirs reads as net/http does.
func readTheirs(data []byte) said {
	src := bytes.NewReader(data)
	r := bufio.NewReader(src)
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodPost})
		if err != nil {
			return said{Refused: true}
		}
		if resp.StatusCode/100 == 1 && resp.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		s := said{Code: resp.StatusCode, Kind: resp.Header.Get("Content-Type"), Retry: resp.Header.Get("Retry-After")}
		body, size, err := readBody(resp)
		_, more := resp.Body.Read(make([]byte, 1))
		_ = resp.Body.Close()
		s.Body, s.Size, s.Cut = string(body), size, err != nil
		s.Again = !resp.Close && err == nil && more == io.EOF && resp.StatusCode != http.StatusSwitchingProtocols
		s.Used = len(data) - src.Len() - r.Buffered()
		return s
	}
}

// What net/http takes and we do not: a version beside 1.x, a code below 100 or with a sign, a name
// of a header that is none (empty, or with blanks, so that a "Content-Length :" is none), a line that
// goes on another about the end of the answer, over 64 KiB of headers, a chunk of 2^60 bytes; behind
// the last chunk, names that are none, lines that go on others, and lines that end with a bare LF.
// What we take and net/http does not: a Trailer header with names that may not be there; we read none
// of what trailers say. And of a value that goes on in a second line we read the first.
var (
	otherVersion = regexp.MustCompile(`(?m)^HTTP/([02-9]\.[0-9]|[0-9]{2,}|[0-9]\.[0-9]{2,})`)
	otherCode    = regexp.MustCompile(`(?m)^HTTP/[0-9]\.[0-9] +(0[0-9]{2}|[+-][0-9]{2})`)
	otherName    = regexp.MustCompile("(?m)^(:|[^:\n]*[ \t][^:\n]*:)")
	goesOn       = regexp.MustCompile(`(?m)\n[ \t]`)
	longChunk    = regexp.MustCompile(`(?m)[0-9A-Fa-f]{16}`)
	bareLF       = regexp.MustCompile(`(^|[^\r])\n`)
	trailer      = regexp.MustCompile(`(?im)^trailer:`)
)

// differ says what is wrong about two readings of the same bytes; "": nothing.
func differ(data []byte, we, they said) string {
	folded := goesOn.Match(data)
	if folded {
		we.Kind, we.Retry, they.Kind, they.Retry = "", "", "", ""
	}
	if we.Cut && !they.Cut && (bareLF.Match(data) || otherName.Match(data) || folded) {
		they.Cut, they.Again = true, false
	}
	switch {
	case we.Refused && they.Refused:
		return ""
	case we.Refused:
		if otherVersion.Match(data) || otherCode.Match(data) || otherName.Match(data) || folded || len(data) > maxHeader {
			return ""
		}
		return "we refuse what net/http takes"
	case they.Refused:
		if trailer.Match(data) {
			return ""
		}
		return "we take what net/http refuses"
	case we.Cut && longChunk.Match(data):
		return ""
	case we.Again && !they.Again:
		if trailer.Match(data) || they.Size >= maxBody+maxDiscard {
			return ""
		}
		return "we would use a connection again that net/http would not"
	case we.Again && we.Used != they.Used:
		return "the answer ends elsewhere"
	}
	we.Again, we.Used, they.Again, they.Used = false, 0, false, 0
	if !reflect.DeepEqual(we, they) {
		return "it says something else"
	}
	return ""
}

// answers are what the fuzzer begins with.
var answers = []string{
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok",
	"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
	"HTTP/1.1 204 No Content\r\nRetry-After: 7\r\n\r\n",
	"HTTP/1.1 204 \r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"HTTP/1.1 503 Busy\r\nRetry-After:  120 \r\nDate: Thu, 19 Mar 2026 09:25:00 GMT\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nbare",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 02\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, Close\r\n\r\nok",
	"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\n\r\nuntil the end",
	"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 200 OK\r\n X: a\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n", "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n", "HTTP/1.1 200 OK\r\n: a\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
	"HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 +20 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n",
	"HTTP/2.0 200 OK\r\n\r\n", "HTTP/0.9 200 OK\r\n\r\n", "http/1.1 200 OK\r\n\r\n", "\r\nHTTP/1.1 200 OK\r\n\r\n", "220 mail ESMTP\r\n", "", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
	"HTTP/1.1 200 OK\r\nTrailer: Content-Length\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
	"HTTP/1.1 200 \nTrAnsfer-EnCoding:Chunked\n\n0\r\n\n\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n z\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n: y\r\n\r\n",
}

// FuzzAnswer holds how an answer is read against net/http: whatever comes, in one piece or byte by
// byte, it is the same answer with the same end, but for what is listed above.
func FuzzAnswer(f *testing.F) {
	for _, a := range answers {
		f.Add([]byte(a))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < maxBody { // longer ones only slow it down; TestLongAnswers has some
			compare(t, data)
		}
	})
}

func compare(t *testing.T, data []byte) {
	t.Helper()
	we, they := readOurs(data, false), readTheirs(data)
	if slow := readOurs(data, true); slow != we {
		t.Errorf("%.80q: %.300s at once, and %.300s byte by byte", data, fmt.Sprintf("%+v", we), fmt.Sprintf("%+v", slow))
	}
	if wrong := differ(data, we, they); wrong != "" {
		t.Errorf("%.80q: %s: %.300s, and %.300s", data, wrong, fmt.Sprintf("%+v", we), fmt.Sprintf("%+v", they))
	}
}

// TestLongAnswers is FuzzAnswer at the bounds of headers, bodies, lines and trailers.
func TestLongAnswers(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, n := range []int{maxBody - 1, maxBody, maxBody + 1, maxBody + maxDiscard - 1, maxBody + maxDiscard, maxBody + maxDiscard + 1, 1 << 20} {
		compare(t, fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", n, long(n)))
		compare(t, fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", n+1, long(n)))
		compare(t, fmt.Appendf(nil, "HTTP/1.1 200 OK\r\n\r\n%s", long(n)))
		compare(t, fmt.Appendf(nil, "%s%x\r\n%s\r\n0\r\n\r\n", chunked, n, long(n)))
		compare(t, fmt.Appendf(nil, "%s1\r\nx\r\n%x\r\n%s\r\n0\r\n\r\n", chunked, n, long(n)))
	}
	for n := 4080; n < 4110; n++ {
		compare(t, []byte(chunked+"1;"+long(n)+"\r\nx\r\n0\r\n\r\n"))
		compare(t, []byte(chunked+"1\r\nx\r\n0\r\nX: "+long(n)+"\r\n\r\n"))
	}
	for _, n := range []int{100, 2000, 20000} { // one byte a chunk is fine, a long line before each is not
		compare(t, []byte(chunked+strings.Repeat("1\r\nx\r\n", n)+"0\r\n\r\n"))
		compare(t, []byte(chunked+strings.Repeat("1;"+long(30)+"\r\nx\r\n", n)+"0\r\n\r\n"))
	}
	for _, n := range []int{60 << 10, 65 << 10, 70 << 10} {
		compare(t, []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: "+long(n)+"\r\n\r\n"))
	}
}

// TestAnswers: what the end of an answer is, where the connection may be used again, and what is
// refused for safety.
func TestAnswers(t *testing.T) {
	f := func(text string, want said) {
		t.Helper()
		got := readOurs([]byte(text), false)
		got.Used = 0
		if got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
	refused := said{Refused: true}
	f(answers[0], said{Code: 200, Kind: "text/plain", Body: "ok", Size: 2, Again: true})
	f(answers[1], said{Code: 200, Body: "ok", Size: 2, Again: true})
	f(answers[2], said{Code: 204, Retry: "7", Again: true})
	f(answers[3], said{Code: 204}) // what follows is nobody's answer
	f(answers[4], said{Code: 304})
	f(answers[8], said{Code: 200, Body: "hello", Size: 5, Again: true})
	f(answers[9], said{Code: 200, Cut: true})
	f(answers[10], said{Code: 200, Body: "hi", Size: 2}) // two ends: the last of its connection
	for _, text := range answers[11:14] {
		f(text, refused)
	}
	f(answers[14], said{Code: 200, Body: "ok", Size: 2, Again: true})
	for _, text := range answers[15:20] {
		f(text, refused)
	}
	f(answers[22], said{Code: 200, Body: "ok", Size: 2})
	f(answers[23], said{Code: 200, Body: "ok", Size: 2})
	f(answers[24], said{Code: 200, Body: "ok", Size: 2, Again: true})
	f(answers[25], said{Code: 200, Body: "ok", Size: 2})
	f("HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n"+strings.Repeat("x", 20000), said{Code: 200, Body: strings.Repeat("x", maxBody), Size: 20000, Again: true})
	f("HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n"+strings.Repeat("x", 90000), said{Code: 200, Body: strings.Repeat("x", maxBody), Size: maxBody + maxDiscard})
}
