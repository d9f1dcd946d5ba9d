package outbox

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"
)

// What is kept of the text of an answer, in bytes.
const (
	MaxText         = 4 << 10 // of one that was no 2xx: it says what is wrong
	MaxAcceptedText = 256     // of a 2xx, which every delivery has one of
)

// Exchange is what went over the wire in one attempt. Durations are kept in microseconds.
type Exchange struct {
	DNS, Connect, TLS time.Duration  // 0: it did not happen, as on a connection used again
	FirstByte         time.Duration  // waiting for it; of an answer that never came, until the end
	Reused            bool           // the connection had been used before
	Address           netip.AddrPort // where it went, or was to go; zero: it got no address
	Answer            Answer
}

// Answer is what a partner said: somebody else's text, which may hold what a person is called. It
// is in no log and no metric.
type Answer struct {
	Text  string // its beginning, made fit to be shown (send.Answer.Text); "": it is empty or no text, or see Gone
	Type  string // its Content-Type, made fit to be shown
	Bytes int64  // its length, as far as it was read
	Cut   bool   // it was longer than Text
	Gone  bool   // it had a text, which is not kept, or not any more
}

// How the text of an answer is kept.
const (
	textNone   = iota // there is none
	textHere          // behind the rest
	textInRing        // in the bucket of answers: place and digest stand behind the rest
	textGone          // nowhere
)

// The first byte of an exchange: flags, and how the text is kept in the two bits above them.
const (
	exchangeReused = 1 << iota
	exchangeDialled
	exchangeV4
	exchangeV6
	exchangeAnswered
	exchangeCut
	exchangeText = 6 // bits to shift
)

// types are what nearly every answer is, so that it costs a byte. Their places are on disk: never
// change one.
var types = []string{
	"", "application/json", "application/json; charset=utf-8", "text/html", "text/html; charset=utf-8", "text/plain", "text/plain; charset=utf-8",
	"application/problem+json", "text/html; charset=UTF-8", "application/json;charset=UTF-8", "text/plain;charset=UTF-8", "text/html; charset=iso-8859-1",
}

const literalType = 64 // behind the places of types: the length of one that is none of them

// AppendTo writes an exchange with its text behind it, in a few bytes where there is little to say.
func (x *Exchange) AppendTo(b []byte) []byte {
	kind := textNone
	switch {
	case x.Answer.Gone:
		kind = textGone
	case x.Answer.Text != "":
		kind = textHere
	}
	b = x.append(b, kind)
	if kind == textHere {
		b = append(binary.AppendUvarint(b, uint64(len(x.Answer.Text))), x.Answer.Text...)
	}
	return b
}

// append writes all but the text.
func (x *Exchange) append(b []byte, kind int) []byte {
	at := len(b)
	b = append(b, byte(kind<<exchangeText)) //nolint:gosec // two bits
	b = binary.AppendUvarint(b, micros(x.FirstByte))
	set := func(flag byte, on bool) bool {
		if on {
			b[at] |= flag
		}
		return on
	}
	set(exchangeReused, x.Reused)
	set(exchangeCut, x.Answer.Cut)
	if set(exchangeDialled, x.DNS|x.Connect|x.TLS != 0) {
		for _, d := range []time.Duration{x.DNS, x.Connect, x.TLS} {
			b = binary.AppendUvarint(b, micros(d))
		}
	}
	switch ip := x.Address.Addr(); {
	case set(exchangeV4, ip.Is4()):
		four := ip.As4()
		b = binary.BigEndian.AppendUint16(append(b, four[:]...), x.Address.Port())
	case set(exchangeV6, ip.Is6()):
		six := ip.As16()
		b = binary.BigEndian.AppendUint16(append(b, six[:]...), x.Address.Port())
	}
	if set(exchangeAnswered, x.Answer.Bytes > 0) {
		b = binary.AppendUvarint(b, uint64(x.Answer.Bytes)) //nolint:gosec // positive
		b = appendType(b, x.Answer.Type)
	}
	return b
}

func micros(d time.Duration) uint64 { return uint64(max(0, d.Microseconds())) }

func appendType(b []byte, is string) []byte {
	if at := slices.Index(types, is); at >= 0 {
		return append(b, byte(at)) //nolint:gosec // few
	}
	is = is[:min(len(is), 255-literalType)]
	return append(append(b, byte(literalType+len(is))), is...) //nolint:gosec // at most 255
}

// ReadExchange undoes AppendTo, and returns what stands behind. Not ok: it is none. Nothing of b is
// kept.
func ReadExchange(b []byte) (x Exchange, rest []byte, ok bool) {
	r := &reader{b: b}
	kind := x.read(r)
	switch kind {
	case textHere:
		x.Answer.Text = r.text()
	case textInRing:
		r.failed = true // of a try only
	default:
	}
	return x, r.b, !r.failed
}

// read undoes append.
func (x *Exchange) read(r *reader) (kind int) {
	flags := r.byte()
	x.FirstByte = r.duration()
	x.Reused, x.Answer.Cut = flags&exchangeReused != 0, flags&exchangeCut != 0
	if flags&exchangeDialled != 0 {
		x.DNS, x.Connect, x.TLS = r.duration(), r.duration(), r.duration()
	}
	if size := map[byte]int{exchangeV4: 4, exchangeV6: 16}[flags&(exchangeV4|exchangeV6)]; size > 0 {
		ip, _ := netip.AddrFromSlice(r.take(size))
		port := r.take(2)
		if !r.failed {
			x.Address = netip.AddrPortFrom(ip, binary.BigEndian.Uint16(port))
		}
	}
	if flags&exchangeAnswered != 0 {
		x.Answer.Bytes = int64(r.number()) //nolint:gosec // written by append
		switch n := r.byte(); {
		case int(n) < len(types):
			x.Answer.Type = types[n]
		case n >= literalType:
			x.Answer.Type = string(r.take(int(n) - literalType))
		default:
			r.failed = true
		}
	}
	kind = int(flags >> exchangeText)
	x.Answer.Gone = kind == textGone
	return kind
}

// reader takes a record apart. Once it has failed it gives zeros.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) take(n int) []byte {
	if r.failed || n < 0 || n > len(r.b) {
		r.failed = true
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.failed = true
	}
	if r.take(max(0, size)); r.failed {
		return 0
	}
	return n
}

func (r *reader) duration() time.Duration { return time.Duration(r.number()) * time.Microsecond } //nolint:gosec // written by micros

// text is a string with its length before it.
func (r *reader) text() string {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.failed = true
		return ""
	}
	return string(r.take(int(n))) //nolint:gosec // at most len
}
