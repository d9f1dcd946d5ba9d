package control

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// How long a caller may take.
const (
	headerTime = 5 * time.Second  // to send the headers
	bodyTime   = 30 * time.Second // to send headers and body
	idleTime   = time.Minute      // between two calls
	answerTime = 30 * time.Second // to take an answer
)

// DoorOptions of a Door. Listener, Refusals and Logger are required.
type DoorOptions struct {
	Listener net.Listener // closed by the server that uses the door
	Names    []string     // hosts it may be called by, beside those of this machine: names, or addresses
	Conns    int          // that are open at once; 0: 32
	Refusals *Refusals
	Logger   *slog.Logger
	Now      func() time.Time // nil: time.Now
}

// Door is a listener for machines and operators: it lets in who calls it by its own name, and
// bounds how many are in. When it is full, whoever comes next takes the place of who has been
// waited for longest, so that slow and half-open connections keep no health check out. A Door is
// used by one server, made with Server.
type Door struct {
	net.Listener
	o     DoorOptions
	names map[string]bool
	watch *watch        // of wrong tokens
	wrong *watch        // of wrong hosts: apart, so that the one hides no line about the other
	takes time.Duration // answerTime, but in a test

	mu      sync.Mutex // guards the fields below, and those of every caller
	open    map[*caller]struct{}
	trusted int
}

// What a caller is doing. The lower, the sooner he has to go.
const (
	awaited int = iota // nothing has come of his next call, or not all of its headers
	called             // his call is being answered
	trusted            // and has brought a right token
)

// caller is one open connection.
type caller struct {
	net.Conn
	door  *Door
	from  netip.Addr
	does  int
	since time.Time // that he does this
}

type callerKey struct{}

// NewDoor makes a door.
func NewDoor(o DoorOptions) *Door {
	if o.Conns == 0 {
		o.Conns = 32
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	d := &Door{Listener: o.Listener, o: o, names: map[string]bool{}, open: map[*caller]struct{}{}, watch: newWatch(), wrong: newWatch(), takes: answerTime}
	for _, n := range o.Names {
		if n = hostname(n); n != "" {
			d.names[n] = true
		}
	}
	return d
}

// Server is a server for this door, with bounds on how long everything may take.
func (d *Door) Server(h http.Handler) *http.Server {
	return &http.Server{
		Handler: d.guard(h), ReadHeaderTimeout: headerTime, ReadTimeout: bodyTime, IdleTimeout: idleTime, MaxHeaderBytes: 16 << 10,
		ErrorLog:    slog.NewLogLogger(d.o.Logger.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, callerKey{}, c) },
	}
}

// Accept lets the next caller in. If there are too many, another has to go.
func (d *Door) Accept() (net.Conn, error) {
	conn, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &caller{Conn: conn, door: d, from: network(conn.RemoteAddr()), since: time.Now()}
	d.mu.Lock()
	var goes *caller
	if len(d.open) >= d.o.Conns {
		goes = d.longest()
		d.forget(goes)
	}
	d.open[c] = struct{}{}
	d.mu.Unlock()
	if goes != nil {
		d.o.Refusals.refuse(byCrowd)
		goes.Conn.Close() //nolint:errcheck,gosec // its server sees that it is gone
	}
	return c, nil
}

// longest is who has to go: of those whose call is waited for, if there are any, of the network
// that has the most of them, the one that is waited for longest. Whoever holds mu calls it.
func (d *Door) longest() (goes *caller) {
	least, from := trusted, map[netip.Addr]int{}
	for c := range d.open {
		least = min(least, c.does)
	}
	for c := range d.open {
		if c.does == least {
			from[c.from]++
		}
	}
	for c := range d.open {
		switch {
		case c.does != least:
		case goes == nil, from[c.from] > from[goes.from], from[c.from] == from[goes.from] && c.since.Before(goes.since):
			goes = c
		}
	}
	return goes
}

// forget takes a caller off the list, for whoever holds mu.
func (d *Door) forget(c *caller) {
	if _, in := d.open[c]; !in {
		return
	}
	d.become(c, awaited)
	delete(d.open, c)
}

// become notes what a caller does, for whoever holds mu.
func (d *Door) become(c *caller, does int) {
	if c.does == trusted {
		d.trusted--
	}
	if does == trusted {
		d.trusted++
	}
	c.does, c.since = does, time.Now()
}

// note is become for whoever is in, and does not hold mu.
func (d *Door) note(req *http.Request, does int) {
	c, ok := req.Context().Value(callerKey{}).(*caller)
	if !ok {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, in := d.open[c]; !in || does == trusted && d.trusted >= d.o.Conns*3/4 { // a quarter of the places is nobody's for long
		return
	}
	d.become(c, does)
}

// trust lets a call that has brought a right token take its time.
func (d *Door) trust(req *http.Request) { d.note(req, trusted) }

// Close implements net.Conn. Its place is free when it is closed, and not before.
func (c *caller) Close() error {
	err := c.Conn.Close()
	c.door.mu.Lock()
	defer c.door.mu.Unlock()
	c.door.forget(c)
	return err
}

// Empty waits until nobody is in, or ctx ends, whose error it returns. Whoever calls it has seen to it
// that nobody comes in.
func (d *Door) Empty(ctx context.Context) error {
	for {
		d.mu.Lock()
		n := len(d.open)
		d.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

// guard refuses whoever calls by another name. An answer has to be taken in time.
func (d *Door) guard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		d.note(req, called)
		defer d.note(req, awaited)
		answerWithin(w, d.takes)
		if !d.known(req) {
			d.refuseHost(w, req)
			return
		}
		h.ServeHTTP(w, req)
	})
}

// answerWithin bounds how long whoever asked may take to read the answer.
func answerWithin(w http.ResponseWriter, t time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(t)) // one that has gone needs none
}
