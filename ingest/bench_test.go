package ingest

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"countersign/ingest/journal"
)

// BenchmarkCallback is one signed callback over a loopback connection, whose sender does as little
// as it can: without a journal, which is the cost of the ingress itself, and with the real one,
// where callbacks in parallel share a flush.
func BenchmarkCallback(b *testing.B) {
	for _, c := range []struct {
		name    string
		journal Appender
		senders int // per CPU
	}{{"nowhere", nowhere{}, 8}, {"journal", nil, 64}} {
		b.Run(c.name, func(b *testing.B) {
			d := openQuiet(b, c.journal)
			raw := []byte(approval(b, "sumsub", "user-1"))
			b.ReportAllocs()
			b.SetParallelism(c.senders)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				nc, err := net.Dial("tcp", d.addr)
				if err != nil {
					b.Error(err)
					return
				}
				defer nc.Close()
				got := make([]byte, 512)
				for pb.Next() {
					if _, err := nc.Write(raw); err != nil {
						b.Error(err)
						return
					}
					if n, err := nc.Read(got); err != nil || !bytes.HasPrefix(got[:n], []byte("HTTP/1.1 200 ")) {
						b.Errorf("%q, %v", got[:n], err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkHandled is the same without sockets: what is left is the reading of headers and bodies,
// the proof, the translation, and what is made of it, up to the journal. Bare is the least that
// anybody could do instead: fasthttp, the proof, and the decoding.
func BenchmarkHandled(b *testing.B) {
	for _, source := range []string{"sumsub", "persona"} {
		b.Run(source, func(b *testing.B) {
			d := openQuiet(b, nowhere{})
			b.ReportAllocs()
			b.ResetTimer()
			for left := b.N; left > 0; left -= perConn {
				if err := d.server.ServeConn(d.ln.place(endless(min(left, perConn), approval(b, source, "user-1")))); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			if n := d.count(source, accepted); n != float64(b.N) {
				b.Fatalf("%v accepted, want %d", n, b.N)
			}
		})
	}
	b.Run("bare", func(b *testing.B) {
		sumsub := adapter(b, "sumsub")
		scheme, err := sumsub.Scheme(nil)
		if err != nil {
			b.Fatal(err)
		}
		keys, n := ring(b, hmacKey), 0
		s := &fasthttp.Server{NoDefaultServerHeader: true, NoDefaultDate: true, ReadBufferSize: 16 << 10, WriteBufferSize: 1 << 10, Handler: func(ctx *fasthttp.RequestCtx) {
			body := ctx.PostBody()
			if scheme.Verify(&header{h: &ctx.Request.Header}, body, keys, at) != nil {
				return
			}
			if _, err := sumsub.Translate(nil, body, nil); err == nil {
				n++
			}
			ctx.SetBodyString("ok\n")
		}}
		b.ReportAllocs()
		b.ResetTimer()
		if err := s.ServeConn(endless(b.N, approval(b, "sumsub", "user-1"))); err != nil || n != b.N {
			b.Fatal(n, err)
		}
	})
}

// perConn is how many come on one connection: fewer than it may have.
const perConn = 50_000

// openQuiet is open without a log, of which an accepted callback is no line by default, and with
// this journal; nil: the real one.
func openQuiet(b *testing.B, j Appender) *door {
	b.Helper()
	return open(b, func(o *Options) {
		o.Logger = slog.New(slog.DiscardHandler)
		o.Journal = o.Journal.(*faulty).Appender
		if j != nil {
			o.Journal = j
		}
	})
}

// endless is the gateway's end of a connection on which the same request comes again, as soon as
// the one before is answered, so many times.
func endless(times int, raw string) net.Conn { return &repeated{raw: []byte(raw), left: times} }

var loopback = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2}

type repeated struct {
	raw, rest []byte
	left      int
}

func (r *repeated) Read(b []byte) (int, error) {
	if len(r.rest) == 0 {
		if r.left == 0 {
			return 0, io.EOF
		}
		r.left--
		r.rest = r.raw
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *repeated) Write(b []byte) (int, error)    { return len(b), nil }
func (*repeated) Close() error                     { return nil }
func (*repeated) LocalAddr() net.Addr              { return loopback }
func (*repeated) RemoteAddr() net.Addr             { return loopback }
func (*repeated) SetDeadline(time.Time) error      { return nil }
func (*repeated) SetReadDeadline(time.Time) error  { return nil }
func (*repeated) SetWriteDeadline(time.Time) error { return nil }

// nowhere keeps nothing.
type nowhere struct{}

func (nowhere) Append(context.Context, ...journal.Record) error             { return nil }
func (nowhere) Hold(context.Context, journal.Item, ...journal.Record) error { return nil }
