package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"countersign/relay/control"
)

// machines is what a gateway has for machines that ask how it is.
type machines struct {
	refusals *control.Refusals
	told     atomic.Bool  // the gateway itself can be asked
	scraped  net.Listener // listen.metrics, once it is bound
}

// exposed reports whether others than this machine's own users reach the control listener.
func (g *gateway) exposed() bool { return !onLoopback(g.control.Addr()) }

func onLoopback(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	return ok && t.IP.IsLoopback()
}

// tooOpen says what is wrong with an address to control a gateway at; "": nothing.
func tooOpen(host string) string {
	a, err := netip.ParseAddr(host)
	switch {
	case host == "" || err == nil && a.IsUnspecified():
		return "every address of this machine takes calls to the control listener, public ones too"
	case err == nil && !within(a):
		return "the control listener has a public address"
	default:
		return "" // of a name nobody knows yet
	}
}

const closeIt = "listen on 127.0.0.1, or on the machine's address in a private network, and let nobody else reach that"

// warnOpen logs that the control listener can be reached from everywhere, and names that two tokens
// have.
func (g *gateway) warnOpen() {
	t, ok := g.control.Addr().(*net.TCPAddr)
	if !ok {
		return
	}
	if what := tooOpen(t.AddrPort().Addr().WithZone("").String()); what != "" {
		g.log.Warn("control_open_to_all", "address", t.String(), "what", what, "remedy", closeIt)
	}
}

// controlNames are the hosts that the control listener may be called by.
func (g *gateway) controlNames() []string {
	return append(ownName(g.cfg.Listen.Control), g.cfg.Listen.ControlHosts...)
}

// ownName is the name or the address of an address to listen on. All addresses are no name:
// browsers call 0.0.0.0 for pages that have no business here.
func ownName(address string) []string {
	host, _, err := net.SplitHostPort(address)
	if a, aerr := netip.ParseAddr(host); err != nil || host == "" || aerr == nil && a.IsUnspecified() {
		return nil
	}
	return []string{host}
}

// fixedTokens are those of the data directory, if it has one already, and of the config. Whoever
// can read the former is the owner of everything there, so it may make others.
func fixedTokens(cfg *Config, own string) (ts []control.Token) {
	if own != "" {
		ts = append(ts, control.Token{Name: tokenFile, SHA256: sha256.Sum256([]byte(own)), Scope: control.Admin})
	}
	for _, t := range cfg.Tokens {
		ts = append(ts, control.Token{Name: t.Name, SHA256: t.SHA256, Scope: control.Scope(t.Scope), Partner: t.Partner})
	}
	return ts
}

// tokensBeforehand are those that are known before the file is open.
func (g *gateway) tokensBeforehand() []control.Token {
	own, err := readToken(filepath.Join(g.cfg.Data, tokenFile))
	if err != nil {
		own = "" // there is none yet, or the opening will say what is wrong with it
	}
	return fixedTokens(g.cfg, own)
}

// serveMetrics serves listen.metrics, if there is one, from the first moment on. An address that is
// in use is perhaps that of a gateway that has the file too: the second call says so.
func (g *gateway) serveMetrics() (err error) {
	address := g.cfg.Listen.Metrics
	if address == "" || g.scraped != nil {
		return nil
	}
	ln, err := bind("listen.metrics", "metrics listener", address)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) && g.store == nil {
			return nil
		}
		return err
	}
	g.scraped = ln
	full := onLoopback(ln.Addr())
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(g.reg, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /healthz", control.Healthy(g.log, g.cfg.Live(), func(*http.Request) control.Doing { return g.doing().To(full) }))
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { control.Readiness(w, g.log, full, g.doing(), g.howReady) })
	door := control.NewDoor(control.DoorOptions{
		Listener: ln, Names: append(ownName(address), g.cfg.Listen.ControlHosts...), Conns: metricsConns, Refusals: g.refusals, Logger: g.log,
	})
	server := door.Server(mux)
	g.process.start("metrics", func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { server.Close() }) //nolint:errcheck,gosec // ending
		defer stop()
		if err := server.Serve(door); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("metrics listener: %w", err)
		}
		return nil
	})
	return nil
}

// doing is the phase of this process, and how far it is with it.
func (g *gateway) doing() control.Doing {
	switch {
	case g.phase.Load() == stopping:
		return control.Doing{Phase: control.PhaseStopping}
	case g.told.Load() && g.phase.Load() == serving:
		return control.Doing{Phase: control.PhaseServing}
	case !g.told.Load() && g.waiting != nil:
		return g.waiting.doing()
	}
	return control.Doing{Phase: control.PhaseStarting}
}

// howReady is ready, and before there is anything to ask, how far the opening is.
func (g *gateway) howReady() (reasons, notes []string) {
	if g.told.Load() {
		return g.ready()
	}
	if w := g.waiting; w != nil {
		return []string{w.state()}, nil
	}
	return []string{"starting"}, nil
}
