package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"countersign/outbox/store"
	"countersign/relay/control/client"
)

// rehearsal is what a start would come to.
type rehearsal struct {
	problems []problem // what it would be refused for
	doubts   []problem // what it would do, and may not be meant
	notes    []string  // what was not tried, and why
}

// rehearse goes through the start of a gateway, step by step the one that serve takes, on this
// machine and upon this data directory. It makes, writes and starts nothing, and has given back
// every port and file when it returns. A gateway that runs with this config is left alone: its
// ports and its file are its own. passed are the sockets that a service manager will pass.
func rehearse(c *console, cfg *Config, role string, passed []string) (r rehearsal) {
	o := outside{ctx: c.ctx, log: slog.New(slog.DiscardHandler), terminal: io.Discard, rehearsal: true}
	if err := o.measure(c, cfg); err != nil {
		r.refuse(cfg, err)
	}
	if pid, runs := running(c.ctx, cfg); runs {
		r.notes = append(r.notes, fmt.Sprintf(
			"a gateway is running with this data directory and this control listener (pid %s): its ports and its file are in use by it, and were not tried; countersign reload --dry-run says what this file would change", pid))
		return r
	}
	if o.sockets == nil {
		o.sockets = map[string]net.Listener{}
	}
	for _, name := range passed {
		o.sockets[name] = nowhere{&net.TCPAddr{}}
	}
	g := assemble(cfg, role, o)
	defer g.close() //nolint:errcheck // nothing was written
	r.bind(g)
	for _, s := range g.steps() {
		if o.ended() != nil {
			return r
		}
		if err := s.run(); err != nil {
			if d, ok := errors.AsType[*mendableError](err); ok {
				r.doubts = append(r.doubts, d.doubt(cfg))
			} else {
				r.refuse(cfg, hindered(s.key, "", err))
			}
			return r // what follows needs it
		}
	}
	if g.kafka != nil {
		g.kafka.Close()
	}
	r.orphans(g)
	file, line, key := cfg.place("data")
	for _, reason := range g.storage() {
		r.doubts = append(r.doubts, problem{File: file, Line: line, Key: key, What: "the gateway would start, and not be ready: " + reason})
	}
	return r
}

// bind binds what a start would, all at once, and gives it back at once: in the place of each
// listener stands one that nobody reaches.
func (r *rehearsal) bind(g *gateway) {
	metrics := func() (err error) {
		if g.cfg.Listen.Metrics != "" {
			g.scraped, err = bind("listen.metrics", "metrics listener", g.cfg.Listen.Metrics)
		}
		return err
	}
	controls := func() (err error) {
		g.control, err = g.bindControl()
		return err
	}
	for _, try := range []func() error{g.bindCallbacks, controls, metrics} {
		if err := try(); err != nil {
			r.refuse(g.cfg, err)
		}
	}
	for _, ln := range []*net.Listener{&g.callbacks, &g.control, &g.scraped} {
		var at net.Addr = &net.TCPAddr{}
		if *ln != nil {
			at = (*ln).Addr()
			(*ln).Close() //nolint:errcheck,gosec // nobody was served
		}
		*ln = nowhere{at}
	}
}

// nowhere is a listener that nobody reaches.
type nowhere struct{ at net.Addr }

// Accept implements net.Listener.
func (nowhere) Accept() (net.Conn, error) { return nil, net.ErrClosed }

// Close implements net.Listener.
func (nowhere) Close() error { return nil }

// Addr implements net.Listener.
func (n nowhere) Addr() net.Addr { return n.at }

// refuse notes why a start would fail, at the key of the config that is to blame.
func (r *rehearsal) refuse(cfg *Config, err error) {
	if plan, ok := errors.AsType[*refusedError](err); ok {
		r.problems = append(r.problems, plan.problems...)
		return
	}
	p := problem{File: cfg.Path, What: err.Error()}
	if h, ok := errors.AsType[*hindrance](err); ok {
		p.What, p.Remedy = h.err.Error(), h.remedy
		p.File, p.Line, p.Key = cfg.place(h.key)
	}
	r.problems = append(r.problems, p)
}

// orphans notes what a start would leave behind.
func (r *rehearsal) orphans(g *gateway) {
	if g.relay == nil {
		return
	}
	err := g.store.View(func(tx *store.Tx) error {
		plan, err := planOf(tx, g.cfg)
		if err != nil {
			return err
		}
		r.doubts, err = orphaned(tx, g.cfg, &plan)
		return err
	})
	if err != nil {
		r.refuse(g.cfg, hindered("data", "", err))
	}
}

// place is where a key of the config was said: its file and line, or the variable that was read in
// its place. A default has no line.
func (c *Config) place(key string) (file string, line int, at string) {
	if name := c.variables[key]; name != "" {
		return "environment", 0, name
	}
	if strings.HasPrefix(key, "LISTEN_") {
		return "environment", 0, key
	}
	for i := range c.Said {
		if s := &c.Said[i]; s.key == key || strings.HasPrefix(s.key, key+".") || strings.HasPrefix(s.key, key+"[") {
			return c.Path, s.line, key
		}
	}
	return c.Path, 0, key
}

// rehearseStore opens the file without a change to it.
func (g *gateway) rehearseStore(o store.Options) error {
	s, found, err := store.Rehearse(o)
	if err == nil && s == nil {
		err = &mendableError{filepath.Join(g.cfg.Data, filepath.Base(store.Files(g.cfg.Data)[0])), found}
	}
	g.store = s
	return err
}

// mendableError is a file that a start would mend before it uses it.
type mendableError struct {
	path  string
	found *store.Report
}

// Error implements error.
func (e *mendableError) Error() string { return e.path + " is damaged" }

func (e *mendableError) doubt(cfg *Config) problem {
	records := 0
	for _, n := range e.found.Damaged {
		records += n
	}
	file, line, key := cfg.place("data")
	return problem{
		File: file, Line: line, Key: key, What: fmt.Sprintf("%s is damaged: %d record(s) cannot be read", e.path, records),
		Remedy: "countersign check --file says what; the start makes a new file of what can be read, and keeps this one beside it. What is judged by its records was not tried",
	}
}

// running reports whether a gateway runs with this config: it holds the data directory, and answers
// at the control listener to the token of that directory.
func running(ctx context.Context, cfg *Config) (pid string, runs bool) {
	pid, held := store.Holder(cfg.Data)
	if !held {
		return "", false
	}
	token, err := readToken(filepath.Join(cfg.Data, tokenFile))
	if err != nil {
		return pid, false
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err = client.New(client.Options{Base: "http://" + reachable(cfg.Listen.Control), Token: token, Tries: 1}).ListQuestions(ctx, client.Page{Limit: 1})
	var answered *client.Error
	return pid, err == nil || errors.As(err, &answered) && answered.Status == http.StatusServiceUnavailable // it is starting
}

// merged are those of both, none twice.
func merged(some, more []problem) []problem {
	for _, p := range more {
		if !slices.Contains(some, p) {
			some = append(some, p)
		}
	}
	return some
}

// hindrance is why a start fails: the key of the config that is to blame, and the remedy.
type hindrance struct {
	key, remedy string
	err         error
}

// Error implements error.
func (h *hindrance) Error() string {
	if h.remedy == "" {
		return h.err.Error()
	}
	return h.err.Error() + "; " + h.remedy
}

// Unwrap implements errors.
func (h *hindrance) Unwrap() error { return h.err }

// hindered blames a key for an error that blames none yet. Without a remedy it is that of the
// system's own answer, where the error does not say one.
func hindered(key, remedy string, err error) error {
	if err == nil || errors.As(err, new(*hindrance)) || errors.As(err, new(*refusedError)) {
		return err
	}
	if errors.Is(err, store.ErrBadRecord) {
		key = "data" // whatever was read: the key file there does not open it
	}
	if remedy == "" && !strings.Contains(err.Error(), "; ") {
		remedy = usualRemedy(err)
	}
	return &hindrance{key, remedy, err}
}

// usualRemedy is what to do about an answer of the system to a call about a file.
func usualRemedy(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "let the user that countersign runs as read and write there (chown), or run it as the user that may"
	case errors.Is(err, syscall.EROFS):
		return "mount it for writing, or name another directory"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "make room on the disk, or name a directory on another"
	case errors.Is(err, fs.ErrExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, syscall.ELOOP):
		return "move away what is there, or name another directory"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "raise the number of open files with ulimit -n, or LimitNOFILE= in a unit of systemd"
	case errors.Is(err, syscall.ENOMEM):
		return "give this process more address space (ulimit -v, LimitAS= in a unit of systemd)"
	case errors.Is(err, store.ErrBadRecord) && strings.Contains(err.Error(), "not sealed"):
		return "put the key file in its place that belongs to this database, as it was kept with a backup"
	case errors.Is(err, store.ErrBadRecord), errors.Is(err, store.ErrCorrupt):
		return "restore a backup"
	default:
		return "see docs/OPERATIONS.md, Before a start"
	}
}

// bind binds an address that the config has under key.
func bind(key, what, address string) (net.Listener, error) {
	ln, err := net.Listen("tcp", address) //nolint:noctx // bound once at start
	if err == nil {
		return ln, nil
	}
	remedy := "name an address of this machine, and a port that is free"
	_, port, _ := net.SplitHostPort(address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		remedy = "stop what listens there (ss -ltnp says what that is), or choose another port"
	case errors.Is(err, syscall.EACCES):
		remedy = "choose a port from 1024 on, or allow port " + port + " (AmbientCapabilities=CAP_NET_BIND_SERVICE in a unit of systemd, or sysctl net.ipv4.ip_unprivileged_port_start)"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		remedy = "name an address that this machine has (ip addr lists them)"
	}
	return nil, hindered(key, remedy, fmt.Errorf("%s: %w", what, err))
}
