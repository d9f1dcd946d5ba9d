package stream

import (
	"bufio"
	"bytes"
	"io"
)

// event is what stands between two blank lines of a stream.
type event struct {
	data []byte // empty: a heartbeat, or another sign of life
	cut  bool   // there was more of it than a reader takes
	gap  bool   // a comment says that events were left out
}

// reader reads server-sent events. It holds no more than about twice limit of one, however long
// that is.
type reader struct {
	r       *bufio.Reader
	limit   int
	gap     func(comment []byte) bool
	line    []byte
	began   bool // the first line, which may begin with a byte order mark, has been read
	afterCR bool // the last line ended in CR: an LF that follows belongs to it
}

func newReader(r io.Reader, limit int, gap func(comment []byte) bool) *reader {
	return &reader{r: bufio.NewReaderSize(r, 64<<10), limit: limit, gap: gap}
}

// next returns what stands before the next blank line. What stands before the end of the stream is
// torn, and is not returned.
func (r *reader) next() (event, error) {
	var e event
	var has bool
	for {
		cut, err := r.readLine()
		if err != nil {
			return event{}, err
		}
		if len(r.line) == 0 {
			return e, nil
		}
		if comment, ok := bytes.CutPrefix(r.line, []byte{':'}); ok && r.gap != nil && r.gap(comment) {
			e.gap = true
		}
		value, ok := field(r.line, "data")
		if !ok {
			continue // a comment, or a field that says nothing of what happened
		}
		if has {
			e.add([]byte{'\n'}, r.limit)
		}
		has, e.cut = true, e.cut || cut
		e.add(value, r.limit)
	}
}

// add appends as much as there is room for. What has been cut stays a beginning.
func (e *event) add(b []byte, limit int) {
	if room := limit - len(e.data); len(b) > room {
		b, e.cut = b[:room], true
	}
	e.data = append(e.data, b...)
}

// field returns the value of a line that names this field. A line without a colon is a name without
// a value.
func field(line []byte, name string) ([]byte, bool) {
	key, value, _ := bytes.Cut(line, []byte{':'})
	return bytes.TrimPrefix(value, []byte{' '}), string(key) == name
}

// maxName is how much longer a line may be than a value: for the name of its field, the colon and
// the blank.
const maxName = 16

// readLine reads up to CR, LF or both into r.line. It reports whether some of the line had to be
// left out.
func (r *reader) readLine() (cut bool, err error) {
	r.line = r.line[:0]
	for {
		b, err := r.r.ReadByte()
		if err != nil {
			return false, err
		}
		skip := b == '\n' && r.afterCR
		r.afterCR = b == '\r'
		switch {
		case skip:
		case b == '\r' || b == '\n':
			if !r.began {
				r.began, r.line = true, bytes.TrimPrefix(r.line, []byte("\xef\xbb\xbf"))
			}
			return cut, nil
		case len(r.line) >= r.limit+maxName:
			cut = true
		default:
			r.line = append(r.line, b)
		}
	}
}

// more reports whether the end of another event has come already, so that next will not wait.
func (r *reader) more() bool {
	b, _ := r.r.Peek(r.r.Buffered()) // so much is there
	return bytes.Contains(b, []byte("\n\n")) || bytes.Contains(b, []byte("\n\r\n")) || bytes.Contains(b, []byte("\r\r"))
}
