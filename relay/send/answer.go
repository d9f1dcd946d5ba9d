package send

import (
	"bytes"
	"errors"
	"io"
	"math"
)

// head is what the beginning of an answer says, in HTTP/1.0 or 1.1. It is read as net/http reads
// it, and more narrowly where answers could be taken for what they are not (FuzzAnswer has the
// list).
type head struct {
	code    int
	old     bool  // HTTP/1.0
	length  int64 // of the body, by Content-Length; -1: it says none
	digits  int   // in which the length was written
	coded   int   // how many Transfer-Encoding headers there were
	chunked bool
	closes  bool // the other side asked for the end of the connection
	keeps   bool // it asked for the opposite
	last    bool // the connection is not to be used again; set by frame

	retryAfter, date, kind span // the first of each
	kept                   []byte
}

// span is a value in kept: the buffer that it was read into is about to be used for the body.
type span struct{ from, to int }

func (h *head) keep(s *span, value []byte) {
	if *s == (span{}) {
		s.from = len(h.kept)
		h.kept = append(h.kept, value...)
		s.to = len(h.kept)
	}
}

func (h *head) text(s span) []byte { return h.kept[s.from:s.to] }

// errMalformed is everything that is not an answer in HTTP, or not one that has one meaning only.
var errMalformed = errors.New("malformed answer")

// input reads from a connection.
type input struct {
	src  io.Reader
	buf  []byte
	r, w int    // buf[r:w] has been read and not been used
	came func() // called when bytes have come
}

// more reads what comes next behind what there is, and makes room for it, up to 64 KiB.
func (in *input) more() error {
	if in.w == len(in.buf) {
		if in.w >= maxHeader {
			return errMalformed
		}
		bigger := make([]byte, min(2*len(in.buf), maxHeader))
		copy(bigger, in.buf)
		in.buf = bigger
	}
	for range 16 { // a reader may return nothing, but not for ever
		n, err := in.src.Read(in.buf[in.w:])
		if n > 0 {
			in.w += n
			in.came()
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// line returns the next line without its end, which may be a bare LF as in net/http. The line is
// good until the next read.
func (in *input) line() ([]byte, error) {
	for from := in.r; ; {
		if i := bytes.IndexByte(in.buf[from:in.w], '\n'); i >= 0 {
			line := in.buf[in.r : from+i]
			in.r = from + i + 1
			return bytes.TrimSuffix(line, []byte{'\r'}), nil
		}
		from = in.w
		if err := in.more(); err != nil {
			return nil, unexpected(err)
		}
	}
}

// unexpected makes the end of a connection one that came too early.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// answer reads the beginning of the answer. Those of 1xx go before it and are passed over; together
// they have 64 KiB.
func (in *input) answer(h *head) error {
	for {
		if err := in.head(h); err != nil {
			return err
		}
		if h.code < 100 || h.code > 199 || h.code == 101 {
			return nil
		}
	}
}

// head reads one beginning, line by line, so that what is none is known by its first wrong line, and
// what says something else by its first wrong byte.
func (in *input) head(h *head) error {
	*h = head{length: -1, kept: append(h.kept[:0], ' ')} // so that no span is the zero value
	const begins = "HTTP/1."
	for {
		got := in.buf[in.r:min(in.w, in.r+len(begins))]
		if string(got) != begins[:len(got)] {
			return errMalformed
		}
		if len(got) == len(begins) {
			break
		}
		if err := in.more(); err != nil {
			return unexpected(err)
		}
	}
	line, err := in.line()
	if err != nil {
		return err
	}
	if !h.status(line) {
		return errMalformed
	}
	framing := true // a line that goes on another is refused where the other may have been about the frame
	for {
		if line, err = in.line(); err != nil {
			return err
		}
		switch {
		case len(line) == 0:
			h.frame()
			return nil
		case line[0] == ' ' || line[0] == '\t':
			if framing || !validValue(line) {
				return errMalformed
			}
		default:
			if framing, err = h.field(line); err != nil {
				return err
			}
		}
	}
}

// status reads "HTTP/1.1 200 OK".
func (h *head) status(line []byte) bool {
	if len(line) < len("HTTP/1.1 200") || line[7] < '0' || line[7] > '9' || line[8] != ' ' {
		return false
	}
	h.old = line[7] == '0'
	code := bytes.TrimLeft(line[9:], " ")
	if len(code) < 3 || len(code) > 3 && code[3] != ' ' {
		return false
	}
	for _, c := range code[:3] {
		if c < '0' || c > '9' {
			return false
		}
		h.code = h.code*10 + int(c-'0')
	}
	return h.code >= 100
}

// field reads one header, and reports whether it is about how the answer ends.
func (h *head) field(line []byte) (framing bool, err error) {
	name, value, ok := cutField(line)
	if !ok {
		return false, errMalformed
	}
	switch len(name) {
	case len("date"):
		if named(name, "date") {
			h.keep(&h.date, value)
		}
	case len("connection"):
		if named(name, "connection") {
			h.connection(value)
			return true, nil
		}
	case len("retry-after"):
		if named(name, "retry-after") {
			h.keep(&h.retryAfter, value)
		}
	case len("content-type"):
		if named(name, "content-type") {
			h.keep(&h.kind, value)
		}
	case len("content-length"):
		if named(name, "content-length") {
			return true, h.contentLength(value)
		}
	case len("transfer-encoding"):
		if named(name, "transfer-encoding") {
			return true, h.transferEncoding(value)
		}
	}
	return false, nil
}

// cutField tells the name of a header from its value.
func cutField(line []byte) (name, value []byte, ok bool) {
	i := bytes.IndexByte(line, ':')
	if i < 0 || !validName(line[:i]) || !validValue(line[i+1:]) {
		return nil, nil, false
	}
	return line[:i], trimmed(line[i+1:]), true
}

// trimmed is without blanks around it.
func trimmed(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// named compares a name, whatever its case, with one in lower case.
func named(name []byte, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i, c := range name {
		if lowered(c) != lower[i] {
			return false
		}
	}
	return true
}

// connection reads a list of words about the connection.
func (h *head) connection(value []byte) {
	for len(value) > 0 {
		var word []byte
		word, value, _ = bytes.Cut(value, []byte{','})
		word = trimmed(word)
		h.closes = h.closes || named(word, "close")
		h.keeps = h.keeps || named(word, "keep-alive")
	}
}

// contentLength takes decimal digits only; said twice, it has to be the same twice.
func (h *head) contentLength(value []byte) error {
	var n int64
	for _, c := range value {
		d := int64(c) - '0'
		if d < 0 || d > 9 || n > (math.MaxInt64-d)/10 {
			return errMalformed
		}
		n = n*10 + d
	}
	if len(value) == 0 || h.length >= 0 && (h.length != n || h.digits != len(value)) {
		return errMalformed
	}
	h.length, h.digits = n, len(value)
	return nil
}

// transferEncoding takes "chunked", once. HTTP/1.0 knows no such thing: there it says nothing, and
// costs the connection.
func (h *head) transferEncoding(value []byte) error {
	h.coded++
	if h.old {
		return nil
	}
	if h.coded > 1 || !named(value, "chunked") {
		return errMalformed
	}
	h.chunked = true
	return nil
}

// frame decides how the body ends, and whether the connection may be used after it. An answer that
// says more than one thing about its end is read as net/http reads it, and is the last of its
// connection.
func (h *head) frame() {
	h.last = h.closes || h.old && !h.keeps || h.coded > 0 && (h.old || h.length >= 0)
	switch {
	case h.code < 200 || h.code == 204 || h.code == 304:
		h.last = h.last || h.chunked || h.length > 0 || h.code == 101
		h.chunked, h.length = false, 0
	case h.chunked:
		h.length = -1
	case h.length < 0: // the body ends where the connection does
		h.last = true
	}
}
