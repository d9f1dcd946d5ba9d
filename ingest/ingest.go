// Package ingest is the public door: it proves each provider callback genuine, translates it,
// appends it to the journal, and only then answers 200.
//
// Its promises: a 2xx means that the update is on stable storage (I1); nothing unproven is parsed
// as JSON (I7); what is genuine and not understood is kept (I8); one flooding source costs no other
// source anything (I6); weak evidence approves nobody (I10). It serves callbacks and nothing else.
package ingest

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"countersign/ingest/journal"
	"countersign/ingest/provider"
	"countersign/kyc"
	"countersign/outbox/trace"
	"countersign/signing"
)

// Source is one configured account at one provider.
type Source struct {
	Name        string // the {source} of the callback URL
	Adapter     provider.Adapter
	Options     provider.Options
	Keys        signing.Keyring      // newest first; any verifies
	Partner     string               // whose subjects these are; empty: see PartnerFrom
	PartnerFrom string               // subject_prefix ("acme:user-001") or submission (known by ref only)
	Check       kyc.Check            // overrides the adapter's check type of overall updates; empty: the adapter's
	Checks      map[string]kyc.Check // the same, by workflow
	Workflows   []string             // of the provider, whose approvals count; empty: all
	Rate        float64              // callbacks per second, where a key proves them of genuine ones; 0: no limit
	Livemode    bool
	Evidence    kyc.Authenticity // what an approval needs without confirmation
	MaxBody     int64
	Token       signing.Keyring // path segment that must be there; empty: none
	Allow       []netip.Prefix  // client addresses; empty: any
	// KeysFor looks up keys that the provider publishes, by what a callback says of them; nil:
	// Keys. Errors wrap signing's, or provider.ErrNoKey.
	KeysFor func(ctx context.Context, h signing.Header, body []byte, client netip.Addr) (signing.Keyring, error)
	// KnownKeys are those of them that are known, and asks nobody; nil: none is.
	KnownKeys func(h signing.Header) (signing.Keyring, error)
	// Proved is told from where a callback came that such a key proved; nil: nobody wants to know.
	Proved func(client netip.Addr)
}

// Appender is what the ingress needs of the journal. Both calls are all or none, and nil only when
// everything is on stable storage.
type Appender interface {
	Append(ctx context.Context, rs ...journal.Record) error
	Hold(ctx context.Context, item journal.Item, rs ...journal.Record) error
}

// Options of an Ingress. Listener, Journal, Logger and Sources are required.
type Options struct {
	Listener       net.Listener       // closed by Run
	TLS            *Certificate       // nil: plain HTTP
	Clients        *ClientAuthorities // with TLS: who vouches for clients; nil: they need no certificate
	Live           bool               // the gateway tells partners about real people
	Journal        Appender
	Sources        []Source
	Partners       func(id string) bool     // whether a partner is known, for subject_prefix
	Knows          func(u *kyc.Update) bool // whether a ref of an update is known here; nil: none is
	TrustedProxies []netip.Prefix           // whose X-Forwarded-For and Forwarded are believed
	Logger         *slog.Logger
	Metrics        prometheus.Registerer
	Tracer         *trace.Tracer // nil: nothing is traced
	Now            func() time.Time
	ReadTimeout    time.Duration // of one request, headers and body; 0: 10 s
	AppendTimeout  time.Duration // after which, or a sixteenth more, a callback is answered 503; 0: 2 s, for providers give 5
	IdleTimeout    time.Duration // between two requests on a connection; 0: 75 s, for load balancers use one again for 60
	MaxConns       int           // open connections; 0: 4096
	ConnsOfAddress int           // of these, those of one address that is no trusted proxy; 0: a quarter
	Bodies         int64         // bytes of memory for all bodies on their way; 0: 48 MiB
	BodiesOfSource int64         // of these, those to one source; 0: half
	BodiesOfClient int64         // of these, those of one client address; 0: a quarter, and at least the largest MaxBody
	Grace          time.Duration // for requests in progress when stopping; 0: 5 s
}

// fill puts in what is left to us.
func (o *Options) fill() {
	o.Now = orNow(o.Now)
	o.ReadTimeout = cmp.Or(o.ReadTimeout, 10*time.Second)
	o.AppendTimeout = cmp.Or(o.AppendTimeout, 2*time.Second)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 75*time.Second)
	o.Grace = cmp.Or(o.Grace, 5*time.Second)
}

func orNow(now func() time.Time) func() time.Time {
	if now == nil {
		return time.Now
	}
	return now
}

// Ingress serves callbacks. Make it with New, run it with Run.
type Ingress struct {
	o        Options
	set      atomic.Pointer[set]
	server   *fasthttp.Server
	ln       *listener
	bodies   *bodies
	waits    waits        // of callbacks for the disk
	draining atomic.Bool  // each answer ends its connection
	stopping atomic.Bool  // nothing is taken any more
	busy     atomic.Int64 // requests being handled
	m        *metrics
	nobody   *tally // of what came for no source
}

// New checks that every source's scheme can be built and its keys fit.
func New(o Options) (*Ingress, error) {
	o.fill()
	in := &Ingress{o: o}
	in.set.Store(&set{})
	in.ln = newListener(o.Listener, in.trusted, o.Logger)
	in.bodies = newBodies()
	in.waits.limit = o.AppendTimeout
	in.ln.little = min(o.ReadTimeout, o.IdleTimeout) / 16
	in.m = newMetrics(o.Metrics, in)
	in.ln.crowded = func(reason string) { in.m.crowded.WithLabelValues(reason).Inc() }
	in.bodies.cut = in.m.cut.Inc
	in.nobody = in.m.answers(unknownLabel)
	apply, err := in.Plan(o.settings())
	if err != nil {
		return nil, err
	}
	apply()
	in.server = in.harden()
	return in, nil
}

// preRead is how much of a body fasthttp reads, and finds memory for, before the handler runs. The
// rest is read by us as it comes, and counted.
const preRead = 1

func (in *Ingress) harden() *fasthttp.Server {
	return &fasthttp.Server{
		Handler:                      in.contain,
		ErrorHandler:                 in.malformed,
		HeaderReceived:               expects,
		ExpectHandler:                in.expected,
		NoDefaultServerHeader:        true,
		NoDefaultDate:                true,
		StreamRequestBody:            true,
		MaxRequestBodySize:           preRead,
		ReadBufferSize:               16 << 10, // headers; more is 431
		WriteBufferSize:              1 << 10,
		ReadTimeout:                  in.o.ReadTimeout,
		WriteTimeout:                 in.o.ReadTimeout,
		IdleTimeout:                  in.o.IdleTimeout,
		MaxRequestsPerConn:           100_000,
		Concurrency:                  2*max(in.o.MaxConns, mostConns) + 64, // the listener is the limit; this one would refuse, and counts connections that were cut until their goroutines have ended
		ReduceMemoryUsage:            true,                                 // no buffer for a connection on which nothing has come yet
		DisablePreParseMultipartForm: true,
		SecureErrorLogMessage:        true, // else it prints the raw request
		ConnState:                    follow,
		Logger:                       serverLog{in.o.Logger},
	}
}

// serverLog takes fasthttp's own messages without what they are about: even with
// SecureErrorLogMessage an error quotes the header value it does not like (I7).
type serverLog struct{ l *slog.Logger }

// Printf implements fasthttp.Logger.
func (l serverLog) Printf(format string, _ ...any) {
	l.l.Debug("ingress_connection", "detail", format)
}

// Drain makes each answer end its connection, so that by the time of the stop hardly anybody is
// about to send on one that will be closed. Callbacks are taken as before.
func (in *Ingress) Drain() { in.draining.Store(true) }

// Run serves until ctx ends; then it finishes the requests in progress, takes callbacks all the
// while, closes the listener last and returns nil. It returns an error when the listener fails.
// After Run nothing is appended any more.
func (in *Ingress) Run(ctx context.Context) error {
	served := make(chan error, 1)
	var ln net.Listener = in.ln
	if in.o.TLS != nil {
		ln = sealing{in.ln, in.o.TLS.config(in.o.Clients)}
	}
	go func() {
		defer close(served)
		served <- in.server.Serve(ln)
	}()
	var failed error
	select {
	case err := <-served:
		failed = errors.Join(errors.New("the callback listener stopped by itself"), err)
	case <-ctx.Done():
	}
	in.stop()
	for range served { // until Serve has returned
	}
	return failed
}

// lastGrace is for what was accepted just before the listener was closed: its request is about to
// come.
const lastGrace = 250 * time.Millisecond

// stop gives the requests in progress their grace while others are still taken, for from the moment
// the listener is closed callbacks are refused. Whoever is still sending after that is cut:
// fasthttp would go on serving them.
func (in *Ingress) stop() {
	in.Drain()
	in.ln.hurry()
	begun := in.ln.begun()
	if !within(in.o.Grace, func() bool { return in.ln.ended(begun) }) {
		in.o.Logger.Warn("ingress_stop_unfinished", "requests", len(begun))
	}
	in.ln.Close() //nolint:errcheck,gosec // nothing depends on it any more
	in.ln.rest()
	within(lastGrace, func() bool { return in.ln.count() == 0 })
	in.stopping.Store(true)
	in.ln.cut()
	for !within(time.Minute, func() bool { return in.busy.Load() == 0 }) { // at most AppendTimeout: nothing else in a request waits, now that no connection can be read
	}
}

// within waits until a condition holds, and reports false if it did not in time.
func within(d time.Duration, holds func() bool) bool {
	late := time.NewTimer(d)
	defer late.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-late.C:
			return false
		}
	}
	return true
}

// Addr is where the ingress listens.
func (in *Ingress) Addr() net.Addr { return in.o.Listener.Addr() }
