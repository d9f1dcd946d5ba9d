package send

import (
	"bytes"
	"errors"
	"io"
)

// What the chunks of a body may cost beside what is in them, as in net/http.
const (
	maxLine   = 4 << 10  // the line before a chunk, and all trailers
	maxExcess = 16 << 10 // bytes of such lines, beyond 16 for each chunk and two for each byte
)

// body reads what follows a head. It keeps the first 16 KiB and reads on for at most 64 KiB; whole
// is a body that ended there, after which the connection can be used again. size is how much was
// read.
func (in *input) body(h *head) (kept []byte, size int64, whole bool, err error) {
	switch {
	case h.chunked:
		return in.chunks()
	case h.length == 0:
		return nil, 0, true, nil
	case h.length > 0:
		b := &kept16{kept: make([]byte, 0, min(h.length, maxBody))}
		err = in.part(b, h.length)
		return b.kept, b.size, b.size == h.length && err == nil, unexpected(err)
	}
	b := &kept16{}
	if err = in.part(b, 1<<62); errors.Is(err, io.EOF) {
		err = nil
	}
	return b.kept, b.size, false, err
}

// kept16 is the beginning of a body, and how much of it came.
type kept16 struct {
	kept []byte
	size int64
}

func (b *kept16) full() bool { return b.size >= maxBody+maxDiscard }

func (b *kept16) add(p []byte) {
	b.size += int64(len(p))
	b.kept = append(b.kept, p[:min(len(p), maxBody-len(b.kept))]...)
}

// part reads n bytes of a body, fewer where it has been read far enough.
func (in *input) part(b *kept16, n int64) error {
	for n > 0 && !b.full() {
		if in.r == in.w {
			in.r, in.w = 0, 0
			if err := in.more(); err != nil {
				return err
			}
		}
		piece := in.buf[in.r:in.w]
		piece = piece[:min(int64(len(piece)), n, maxBody+maxDiscard-b.size)]
		b.add(piece)
		in.r += len(piece)
		n -= int64(len(piece))
	}
	return nil
}

// chunks reads a body in chunks, and the trailers behind it, which say nothing to us.
func (in *input) chunks() (kept []byte, size int64, whole bool, err error) {
	b := &kept16{}
	for excess := int64(0); ; {
		n, length, err := in.chunk()
		if err != nil {
			return b.kept, b.size, false, err
		}
		if n == 0 {
			err = in.trailers()
			return b.kept, b.size, err == nil, err
		}
		if excess = max(excess+length-16-2*n, 0); excess > maxExcess {
			return b.kept, b.size, false, errMalformed
		}
		if err := in.part(b, n); err != nil || b.full() {
			return b.kept, b.size, false, unexpected(err)
		}
		if err := in.chunkEnd(); err != nil {
			return b.kept, b.size, false, err
		}
	}
}

// chunk reads the line before a chunk: how long it is, in hexadecimal, and what nobody needs. length
// is what this took beside the chunk.
func (in *input) chunk() (n, length int64, err error) {
	line, err := in.strictLine()
	if err != nil {
		return 0, 0, err
	}
	length = int64(len(line)) + 2
	line, _, _ = bytes.Cut(trimmed(line), []byte{';'})
	if len(line) == 0 || len(line) > 15 {
		return 0, 0, errMalformed
	}
	for _, c := range line {
		switch c = lowered(c); {
		case '0' <= c && c <= '9':
			n = n<<4 | int64(c-'0')
		case 'a' <= c && c <= 'f':
			n = n<<4 | int64(c-'a'+10)
		default:
			return 0, 0, errMalformed
		}
	}
	return n, length, nil
}

// chunkEnd reads the line end behind a chunk.
func (in *input) chunkEnd() error {
	for in.w-in.r < 2 {
		in.compact()
		if err := in.more(); err != nil {
			return unexpected(err)
		}
	}
	if in.buf[in.r] != '\r' || in.buf[in.r+1] != '\n' {
		return errMalformed
	}
	in.r += 2
	return nil
}

// trailers passes over the headers behind the last chunk.
func (in *input) trailers() error {
	for most := maxLine; ; {
		line, err := in.strictLine()
		if err != nil {
			return err
		}
		if len(line) == 0 {
			return nil
		}
		if _, _, ok := cutField(line); !ok {
			return errMalformed
		}
		if most -= len(line) + 2; most < 2 {
			return errMalformed
		}
	}
}

// strictLine is a line of a body in chunks: it ends with CR and LF, for what takes less there can be
// made to see an end that others do not see.
func (in *input) strictLine() ([]byte, error) {
	for from := 0; ; {
		got := in.buf[in.r:in.w]
		if i := bytes.IndexByte(got[from:], '\n'); i >= 0 {
			line := got[:from+i]
			in.r += from + i + 1
			if cr := bytes.IndexByte(line, '\r'); cr < 0 || cr != len(line)-1 || len(line) >= maxLine {
				return nil, errMalformed
			}
			return line[:len(line)-1], nil
		}
		if from = len(got); from > maxLine {
			return nil, errMalformed
		}
		in.compact()
		if err := in.more(); err != nil {
			return nil, unexpected(err)
		}
	}
}

// compact makes room behind what has not been used.
func (in *input) compact() {
	in.w = copy(in.buf, in.buf[in.r:in.w])
	in.r = 0
}
