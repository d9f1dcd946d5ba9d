package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"countersign/outbox/store"
	"countersign/relay/control"
)

// waiting answers at the control listener while the file is opened, which takes minutes if all of a
// large one has to be read: it lives, it is not ready, and how far it is.
type waiting struct {
	g       *gateway
	ln      *lent
	door    *control.Door
	server  *http.Server
	ended   chan error
	open    bool                           // whoever reaches it may know everything
	tokens  []control.Token                // else, who has one of these
	examine atomic.Pointer[store.Progress] // how far the examination of the file is; nil: there is none
	said    store.Progress                 // owned by checked: the step, and the percentage, that were logged last
	began   time.Time
}

// saidEvery is after how many percent, and seconds, a long examination is logged again.
const saidEvery = 10

// wait binds the control listener and answers there until the gateway itself does.
func (g *gateway) wait() (err error) {
	if g.control, err = g.bindControl(); errors.Is(err, syscall.EADDRINUSE) {
		return nil // perhaps of a gateway that has the file too: its own error comes first
	}
	if err != nil {
		return err
	}
	w := &waiting{g: g, ended: make(chan error, 1), began: time.Now()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", control.Healthy(g.log, g.cfg.Live(), func(req *http.Request) control.Doing { return w.doing().To(w.full(req)) }))
	mux.HandleFunc("/", w.tell)
	mux.HandleFunc("GET /metrics", w.metrics(promhttp.HandlerFor(g.reg, promhttp.HandlerOpts{})))
	w.ln = &lent{Listener: g.control}
	w.door = control.NewDoor(control.DoorOptions{Listener: w.ln, Names: g.controlNames(), Conns: controlConns, Refusals: g.refusals, Logger: g.log})
	w.open, w.tokens, w.server = !g.exposed(), g.tokensBeforehand(), w.door.Server(mux)
	g.waiting = w
	server, door := w.server, w.door
	g.process.start("waiting", func(ctx context.Context) error {
		w.ended <- server.Serve(door)
		<-ctx.Done() // it has had its time, and has not failed
		return nil
	})
	return nil
}

// bindControl binds the control listener, or takes the one that was passed.
func (g *gateway) bindControl() (net.Listener, error) {
	if ln := g.sockets[socketControl]; ln != nil {
		return ln, nil
	}
	return bind("listen.control", "control listener", g.cfg.Listen.Control)
}

// state is why nothing else is answered yet.
func (w *waiting) state() string {
	p := w.examine.Load()
	switch {
	case p == nil:
		return control.PhaseStarting
	case p.Step == store.StepMend:
		return fmt.Sprintf("writing what can be read of the damaged file to a new one, %d %%", percent(p))
	}
	return fmt.Sprintf("checking the file, %d %%", percent(p))
}

// doing is the same for machines.
func (w *waiting) doing() control.Doing {
	p := w.examine.Load()
	if p == nil {
		return control.Doing{Phase: control.PhaseStarting}
	}
	far := percent(p)
	return control.Doing{Phase: p.Step, Percent: &far}
}

// percent is how much of its step an examination has done.
func percent(p *store.Progress) int64 { return p.Done * 100 / max(p.Total, 1) }

// tell answers that the gateway is not ready, and to those who may know it how far it is.
func (w *waiting) tell(rw http.ResponseWriter, req *http.Request) {
	control.Readiness(rw, w.g.log, w.full(req), w.doing(), func() (reasons, notes []string) { return []string{w.state()}, nil })
}

func (w *waiting) full(req *http.Request) bool { return w.open || control.Known(w.tokens, req) }

// metrics answers those who may see them. To others the gateway is not ready: it does not know yet
// which tokens have been made.
func (w *waiting) metrics(h http.Handler) http.HandlerFunc {
	return func(rw http.ResponseWriter, req *http.Request) {
		if !w.full(req) {
			w.tell(rw, req)
			return
		}
		h.ServeHTTP(rw, req)
	}
}

// checked notes how far the examination is, and logs it now and then if it takes long.
func (w *waiting) checked(p store.Progress) {
	w.examine.Store(&p)
	far := percent(&p)
	if p.Step != w.said.Step {
		w.said = store.Progress{Step: p.Step}
	}
	if far >= w.said.Done+saidEvery && time.Since(w.began) > saidEvery*time.Second {
		w.said.Done = far
		if p.Step == store.StepMend {
			w.g.log.Info("repairing_file", "percent", far, "bytes", p.Total)
		} else {
			w.g.log.Info("checking_file", "percent", far, "bytes", p.Total)
		}
	}
}

// examined notes that the examination is over.
func (w *waiting) examined() { w.examine.Store(nil) }

// end gives the listener back. It lets nobody in any more before it shuts down: net/http drops whoever
// it has let in and has not read a call of yet, and a probe dropped counts as failed. Calls under way
// have a second to end.
func (w *waiting) end() error {
	if w == nil || w.server == nil {
		return nil
	}
	err := w.ln.Close()
	served := <-w.ended
	w.server.SetKeepAlivesEnabled(false)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if w.door.Empty(ctx) != nil {
		err = errors.Join(err, w.server.Close())
	}
	w.server = nil
	if !errors.Is(served, net.ErrClosed) {
		err = errors.Join(err, served)
	}
	return errors.Join(err, w.ln.back())
}

// lent is a listener that somebody uses for a time: closing it ends the use and leaves it open.
type lent struct {
	net.Listener
	ended atomic.Bool
}

type deadlined interface{ SetDeadline(t time.Time) error }

// Accept implements net.Listener. A deadline would look like a mishap that passes.
func (l *lent) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil && l.ended.Load() {
		return nil, net.ErrClosed
	}
	return c, err
}

// Close implements net.Listener.
func (l *lent) Close() error {
	l.ended.Store(true)
	if d, ok := l.Listener.(deadlined); ok {
		return d.SetDeadline(time.Now())
	}
	return l.Listener.Close()
}

// back makes it usable for its owner again.
func (l *lent) back() error {
	if d, ok := l.Listener.(deadlined); ok {
		return d.SetDeadline(time.Time{})
	}
	return nil
}
