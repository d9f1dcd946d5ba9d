package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox/trace"
	"countersign/signing"
)

// refusal ends a callback with a verdict other than accepted.
type refusal struct {
	verdict verdict
	err     error // why, in words that may be logged
}

func refuse(v verdict, err error) *refusal { return &refusal{v, err} }

// contain keeps a panic from taking the process down: fasthttp does not.
func (in *Ingress) contain(ctx *fasthttp.RequestCtx) {
	started := elapsed()
	in.busy.Add(1)
	defer in.busy.Add(-1)
	var src *source
	defer func() {
		if p := recover(); p != nil {
			in.panicked(ctx, src, started, p)
		}
	}()
	c := ours(ctx.Conn())
	r := (*refusal)(nil)
	if src, c.admitted = c.admitted, nil; src == nil {
		src, r = in.admit(ctx)
	}
	var reply []byte
	if r == nil {
		reply, r = in.callback(ctx, src, started)
	} else {
		last(ctx)
	}
	in.answer(ctx, src, started, r, reply)
}

// last makes the answer the last on its connection, for the request is not read to its end:
// whatever follows must not be taken for another, nor cost its sender the answer.
func last(ctx *fasthttp.RequestCtx) {
	ctx.SetConnectionClose()
	if c := ours(ctx.Conn()); c != nil {
		c.lingers = true
	}
}

var continues = []byte("100-continue")

// expects has fasthttp know who waits for 100 Continue: it compares case, of which there is none.
func expects(h *fasthttp.RequestHeader) (none fasthttp.RequestConfig) {
	if v := h.Peek("Expect"); len(v) > 0 && bytes.EqualFold(bytes.TrimSpace(v), continues) {
		h.SetBytesV("Expect", continues)
	}
	return none
}

// expected decides on a request whose sender waits with the body until it is wanted: whoever is
// refused need not send it.
func (in *Ingress) expected(ctx *fasthttp.RequestCtx) (status int) {
	started := elapsed()
	var src *source
	defer func() {
		if p := recover(); p != nil {
			in.panicked(ctx, src, started, p)
			status = panicked.status()
		}
	}()
	src, r := in.admit(ctx)
	if r == nil {
		ours(ctx.Conn()).admitted = src
		return fasthttp.StatusContinue
	}
	last(ctx)
	in.answer(ctx, src, started, r, nil)
	ctx.Response.ResetBody() // Java's client, of 17 at least, waits for ever where an answer other than 100 has one
	return r.verdict.status()
}

func (in *Ingress) panicked(ctx *fasthttp.RequestCtx, src *source, started int64, p any) {
	in.o.Logger.Error("ingress_panic", "panic", printable(p), "stack", string(debug.Stack()))
	last(ctx)
	in.answer(ctx, src, started, refuse(panicked, nil), nil)
}

// printable is what may be logged of a panic. The runtime's own words hold types and numbers;
// anybody else's may hold a piece of the body (I7).
func printable(p any) string {
	if err, ok := p.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", p)
}

// answer is the only place that answers.
func (in *Ingress) answer(ctx *fasthttp.RequestCtx, src *source, started int64, r *refusal, reply []byte) {
	v := accepted
	if r != nil {
		v = r.verdict
	}
	to := in.nobody
	if src != nil {
		to = src.tally
	}
	ctx.Response.ResetBody()
	ctx.SetStatusCode(v.status())
	ctx.SetContentType("text/plain")
	if after := v.retryAfter(); after != "" {
		ctx.Response.Header.Set("Retry-After", after)
	}
	if v == method {
		ctx.Response.Header.Set("Allow", "POST")
	}
	switch {
	case reply != nil:
		ctx.SetBody(reply)
	case v.taken():
		ctx.SetBodyString("ok\n")
	default:
		ctx.SetBodyString(fasthttp.StatusMessage(v.status()) + "\n")
	}
	if in.draining.Load() {
		ctx.SetConnectionClose()
	}
	now := elapsed()
	c := ours(ctx.Conn())
	c.answered(v.taken(), now)
	to.callbacks.inc(v)
	to.seen(v, in.o.Now())
	span := in.traced(&c.way, started)
	span.Observe(in.m.latency, time.Duration(now-started).Seconds())
	if in.o.Tracer != nil {
		endTrace(&c.way, span, ctx, src, v)
	}
	if !v.taken() || v == quarantined {
		in.logRefused(ctx, src, to, r)
	}
}

// logRefused writes one line per refused callback, a few a second of each verdict at each source;
// how many of these were left out is in the next such line.
func (in *Ingress) logRefused(ctx *fasthttp.RequestCtx, src *source, to *tally, r *refusal) {
	unlogged, ok := to.refusals.allow(r.verdict)
	if !ok {
		return
	}
	now := in.set.Load()
	if src != nil {
		now = src.of
	}
	reason := ""
	if r.err != nil {
		reason = r.err.Error()
	}
	in.o.Logger.Warn("callback_refused", "source", to.label, "verdict", string(r.verdict), "status", r.verdict.status(), "reason", reason,
		"client", now.client(ctx).String(), "not_logged", unlogged)
}

// malformed answers what fasthttp could not read as a request.
func (in *Ingress) malformed(ctx *fasthttp.RequestCtx, err error) {
	v := badRequest
	if _, ok := errors.AsType[*fasthttp.ErrSmallBuffer](err); ok {
		v = longHeader
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		ours(ctx.Conn()).hurried = true
	}
	last(ctx)
	in.answer(ctx, nil, elapsed(), refuse(v, errors.New("not a readable HTTP request")), nil)
}

// body reads what comes, in a flight that is the caller's to end.
func (in *Ingress) body(ctx *fasthttp.RequestCtx, f *flight) ([]byte, *refusal) {
	stream, length := ctx.RequestBodyStream(), int64(ctx.Request.Header.ContentLength())
	if stream == nil {
		return ctx.PostBody(), nil
	}
	headers := 0
	if length < 0 {
		last(ctx) // another parser might see the end of the chunks elsewhere
		headers = ctx.Request.Header.Len()
	}
	b, err := in.bodies.read(f, stream, length, f.src.MaxBody)
	switch e, isNet := errors.AsType[net.Error](err); {
	case errors.Is(err, errNoRoom):
		return nil, refuse(noRoom, errNoRoom)
	case errors.Is(err, errTooLong):
		return nil, refuse(tooLarge, errTooLong)
	case errors.Is(err, errOverhead):
		return nil, refuse(badRequest, errOverhead)
	case err != nil:
		f.conn.hurried = isNet && e.Timeout()
		return nil, refuse(badRequest, errEndEarly)
	case length < 0 && ctx.Request.Header.Len() != headers:
		return nil, refuse(badRequest, errors.New("headers behind the body"))
	}
	f.conn.handling.Store(true)
	return b, nil
}

// callback proves, translates and appends. Nothing of ctx outlives it.
func (in *Ingress) callback(ctx *fasthttp.RequestCtx, src *source, started int64) (reply []byte, _ *refusal) {
	c := ours(ctx.Conn())
	f := in.bodies.start(src, c.client, c)
	defer in.bodies.end(f)
	b, r := in.body(ctx, f)
	if r != nil {
		last(ctx)
		return nil, r
	}
	now := in.o.Now()
	h := &f.header
	h.h = &ctx.Request.Header
	wait := in.waits.begin()
	read := c.way.instant(in)
	if err := src.verify(wait, h, b, now, c.client); err != nil {
		return nil, refuse(ofSignature(err), err)
	}
	if src.keyed && !src.limit.Allow() {
		return nil, refuse(tooFast, nil)
	}
	m := &message{src: src, h: h, body: b, now: now, client: c.client, owned: true, way: &c.way}
	verified := in.follow(m, read, started)
	m.res, m.err = src.Adapter.Translate(h, b, src.Options)
	c.way.step("translate", verified)
	return in.take(wait, m)
}

// take puts what a callback comes to on stable storage, and says how to answer. A body that is only
// kept is answered 200 all the same: the provider has done its part.
func (in *Ingress) take(ctx context.Context, m *message) (reply []byte, _ *refusal) {
	t := in.intake(m)
	begun := m.way.instant(in)
	var err error
	switch {
	case t.Keep != nil:
		err = in.o.Journal.Hold(ctx, *t.Keep, t.Records...)
		m.way.appended(begun, len(t.Records), err)
	case t.Applied():
		err = in.o.Journal.Append(ctx, t.Records...)
		m.way.appended(begun, len(t.Records), err)
	case m.res.Reply != nil:
		in.logTaken(m, handshake, nil)
		return m.res.Reply, refuse(handshake, nil)
	default:
		in.logTaken(m, ignored, nil)
		return nil, refuse(ignored, nil)
	}
	switch {
	case err != nil:
		return nil, refuse(ofAppend(err), err)
	case !t.Applied():
		return nil, refuse(quarantined, errors.New(t.Keep.Detail))
	default:
		in.logTaken(m, accepted, t.Records)
		return m.res.Reply, nil
	}
}

// logTaken writes one line, at debug, for a callback that is dealt with: our own ids of what it
// said, nothing of who it is about.
func (in *Ingress) logTaken(m *message, v verdict, rs []journal.Record) {
	if !in.o.Logger.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	ids := make([]string, 0, len(rs))
	for i := range rs {
		if u := rs[i].Update; u != nil {
			ids = append(ids, u.ID)
		}
	}
	in.o.Logger.Debug("callback_accepted", "source", m.src.Name, "verdict", string(v), "updates", ids, "bytes", len(m.body))
}

// verify proves a callback genuine with the source's keys, or with those its provider publishes.
func (s *source) verify(ctx context.Context, h signing.Header, body []byte, now time.Time, client netip.Addr) error {
	if s.KeysFor == nil {
		return s.scheme.Verify(h, body, s.Keys, now)
	}
	keys, err := s.KeysFor(ctx, h, body, client)
	if err != nil {
		return err
	}
	if err := s.scheme.Verify(h, body, keys, now); err != nil {
		return err
	}
	if s.Proved != nil {
		s.Proved(client)
	}
	return nil
}

// address says whose subject it is, as far as the source can tell; the rest is found by refs in the
// relay.
func (s *source) address(u *kyc.Update) error {
	u.Partner = s.Partner
	if u.Partner != "" || u.Subject.ID == "" || s.PartnerFrom != "subject_prefix" {
		if s.PartnerFrom == "submission" {
			u.Subject.ID = "" // known by its ref only
		}
		return nil
	}
	partner, id, ok := strings.Cut(u.Subject.ID, ":")
	if !ok || id == "" || !s.of.partners(partner) {
		return errors.New("the subject's id does not begin with a known partner and a colon")
	}
	u.Partner, u.Subject.ID = partner, id
	return nil
}

func (s *source) check(u *kyc.Update) kyc.Check {
	if c, ok := s.Checks[u.Verification.Workflow]; ok {
		return c
	}
	if s.Check != "" {
		return s.Check
	}
	return u.Check
}

// traceparent returns a W3C trace context header that is well formed, else "".
func traceparent(h signing.Header) string {
	v := h.Values("Traceparent")
	if len(v) != 1 || !trace.Valid(v[0]) {
		return ""
	}
	return strings.Clone(v[0])
}

// header shows fasthttp's headers to schemes and adapters. Its strings are copies; the lists they
// stand in may be used again once the callback is answered.
type header struct {
	h     *fasthttp.RequestHeader
	alone [4]string // headers that stand once, as nearly all do: their lists
	used  int
}

// Values implements signing.Header.
func (h *header) Values(name string) []string {
	all := h.h.PeekAll(name)
	if len(all) == 0 {
		return nil
	}
	if len(all) == 1 && h.used < len(h.alone) {
		h.alone[h.used] = string(all[0])
		h.used++
		return h.alone[h.used-1 : h.used : h.used]
	}
	vs := make([]string, len(all))
	for i, v := range all {
		vs[i] = string(v)
	}
	return vs
}

// Set implements signing.Header.
func (h *header) Set(name, value string) { h.h.Set(name, value) }

// Add implements signing.Header.
func (h *header) Add(name, value string) { h.h.Add(name, value) }
