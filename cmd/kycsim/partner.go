package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// partnerOptions of a partner. Addr, Key and Format are required.
type partnerOptions struct {
	Addr    string
	Key     string // the secret itself
	Format  string
	Behave  []string // SPEC for every path, or /path=SPEC
	Seed    uint64
	Hang    time.Duration // how long an answer that never comes is withheld
	Ledger  *ledger
	Read    readInstead                         // of bodies that are none of ours; nil: they are
	Arrived func(r *receivedLine, at time.Time) // called for each delivery that is answered 2xx, before it is
}

// partner is the far side: it verifies every delivery with a key of its own, writes it down and
// then answers, or does not. One server has as many endpoints as it is sent paths.
type partner struct {
	o       partnerOptions
	proof   proof
	general *behaviour
	byPath  map[string]*behaviour
	server  *fasthttp.Server
	ln      net.Listener
	served  chan error
	closing chan struct{}

	received, accepted, badlySigned atomic.Int64
}

const (
	maxPartnerConns = 8192
	maxDelivery     = 1 << 20
)

// startPartner listens and serves until close.
func startPartner(ctx context.Context, o partnerOptions) (*partner, error) {
	p := &partner{o: o, byPath: map[string]*behaviour{}, served: make(chan error, 1), closing: make(chan struct{})}
	var err error
	if p.proof, err = newProof(o.Format, o.Key); err != nil {
		return nil, fmt.Errorf("partner: %w", err)
	}
	for i, spec := range o.Behave {
		path := ""
		if strings.HasPrefix(spec, "/") {
			path, spec, _ = strings.Cut(spec, "=")
		}
		b, err := parseBehaviour(spec, o.Seed+uint64(i))
		if err != nil {
			return nil, fmt.Errorf("partner: %w", err)
		}
		if path == "" {
			p.general = b
		} else {
			p.byPath[path] = b
		}
	}
	p.server = &fasthttp.Server{
		Handler: p.handle, Concurrency: maxPartnerConns, MaxRequestBodySize: maxDelivery, NoDefaultServerHeader: true, NoDefaultDate: true,
		DisablePreParseMultipartForm: true, Logger: quiet{},
	}
	if p.ln, err = (&net.ListenConfig{}).Listen(ctx, "tcp", o.Addr); err != nil {
		return nil, fmt.Errorf("partner: %w", err)
	}
	go func() { p.served <- p.server.Serve(p.ln) }()
	return p, nil
}

// addr is where it listens.
func (p *partner) addr() string { return p.ln.Addr().String() }

// close lets what hangs go, and waits until nothing is being answered any more.
func (p *partner) close() error {
	close(p.closing)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := p.server.ShutdownWithContext(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil // somebody keeps an idle connection open
	}
	return errors.Join(err, <-p.served)
}

func (p *partner) handle(ctx *fasthttp.RequestCtx) {
	now := time.Now()
	p.received.Add(1)
	body := ctx.PostBody()
	r := receivedLine{ID: string(ctx.Request.Header.Peek("webhook-id")), Path: string(ctx.Path()), OK: p.proof(&ctx.Request.Header, body, now)}
	read := p.o.Read
	if read == nil && p.o.Format == "standard" {
		read = peek
	}
	if read != nil && read(body, &r) != nil {
		r.OK = false
	}
	if p.o.Ledger != nil {
		r.SHA = digest(body)
	}
	a := answer{code: fasthttp.StatusUnauthorized}
	if r.OK {
		b := p.byPath[r.Path]
		if b == nil {
			b = p.general
		}
		a = b.answer(r.ID)
	} else {
		p.badlySigned.Add(1)
	}
	if a.delay > 0 && !p.pause(a.delay) {
		a = answer{code: fasthttp.StatusServiceUnavailable}
	}
	r.Answer, r.T = a.code, time.Now().UnixNano()
	p.o.Ledger.received(&r)
	if a.code >= 200 && a.code < 300 {
		p.accepted.Add(1)
		if p.o.Arrived != nil {
			p.o.Arrived(&r, now)
		}
	}
	p.give(ctx, a)
}

// pause waits; false: the partner is closing.
func (p *partner) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-p.closing:
		return false
	}
}

// give answers, or breaks the connection.
func (p *partner) give(ctx *fasthttp.RequestCtx, a answer) {
	if a.hang {
		p.pause(p.o.Hang)
	}
	if a.hang || a.reset {
		if c, ok := ctx.Conn().(*net.TCPConn); ok && a.reset {
			_ = c.SetLinger(0) // close with RST; if it cannot be set the connection is closed all the same
		}
		ctx.HijackSetNoResponse(true)
		ctx.Hijack(func(net.Conn) {}) // closed when this returns
		return
	}
	if a.retryAfter > 0 {
		ctx.Response.Header.Set("Retry-After", strconv.Itoa(a.retryAfter))
	}
	if a.code >= 300 && a.code < 400 {
		ctx.Response.Header.Set("Location", "/redirected")
	}
	ctx.SetStatusCode(a.code)
}

// quiet is for servers whose peers are killed on purpose: a broken connection is no news.
type quiet struct{}

// Printf does nothing.
func (quiet) Printf(string, ...any) {}
