package ingest

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"countersign/ingest/journal"
	"countersign/ingest/provider"
)

// BenchmarkCallback is one signed callback over a loopback connection, client included: without a
// journal, which is the cost of the ingress itself, and with the real one, where callbacks in
// parallel share a flush.
func BenchmarkCallback(b *testing.B) {
	for _, c := range []struct {
		name    string
		journal Appender
		senders int // per CPU
	}{{"nowhere", nowhere{}, 8}, {"journal", nil, 64}} {
		b.Run(c.name, func(b *testing.B) {
			d := open(b, func(o *Options) {
				if c.journal != nil {
					o.Journal = c.journal
				}
			})
			client := &fasthttp.HostClient{Addr: d.addr, MaxConns: 1024, ReadTimeout: patience}
			b.ReportAllocs()
			b.SetParallelism(c.senders)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				req, res := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
				req.Header.SetMethod("POST")
				req.SetRequestURI("http://gateway" + pathPrefix + "sumsub")
				body := []byte(sample(b, "sumsub", "approved", provider.SampleVars{EventID: strconv.FormatInt(time.Now().UnixNano(), 10)}))
				for _, line := range signed(b, "sumsub", string(body)) {
					name, value, _ := strings.Cut(line, ": ")
					req.Header.Set(name, value)
				}
				req.SetBody(body)
				for pb.Next() {
					if err := client.Do(req, res); err != nil || res.StatusCode() != 200 {
						b.Errorf("%d, %v", res.StatusCode(), err)
						return
					}
				}
			})
		})
	}
}

// nowhere keeps nothing.
type nowhere struct{}

func (nowhere) Append(context.Context, ...journal.Record) error             { return nil }
func (nowhere) Hold(context.Context, journal.Item, ...journal.Record) error { return nil }
