package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/outbox/store"
)

// outside is what a gateway is given by whoever starts it.
type outside struct {
	ctx        context.Context //nolint:containedctx // ends an opening that takes long; nil: nothing does
	log        *slog.Logger
	examiner   store.Examiner              // reads a file before it is used; nil: examineApart
	terminal   io.Writer                   // where an operator sees what is shown once; nil: nobody looks, and secrets go to files
	sockets    map[string]net.Listener     // that a service manager has passed, by name
	collectors []prometheus.Collector      // of what is there before the gateway
	limits     limits                      // zero: as many as each likes
	load       func() (*Config, []problem) // reads the config again; nil: nobody can
	rehearsal  bool                        // nothing is started, made or written: see rehearse
	level      *slog.LevelVar              // of the log; nil: it stays as it is
}

// ended is why an opening is not to go on; nil: it is.
func (o *outside) ended() error {
	if o.ctx == nil {
		return nil
	}
	return o.ctx.Err()
}

// measure finds out how much this process may use of what the system gives: sockets that are open
// already, files, memory.
func (o *outside) measure(c *console, cfg *Config) (err error) {
	if o.sockets, err = passedSockets(c.env, os.Getpid()); err != nil {
		return hindered("LISTEN_FDS", "pass sockets as a unit of systemd does, or none", err)
	}
	files, err := maxFiles()
	if err != nil {
		return err
	}
	if o.limits, err = newLimits(cfg, files); err != nil {
		return err
	}
	o.limits.tell(c.ctx, o.log, cfg)
	if _, set := c.env("GOMEMLIMIT"); set {
		return nil // the runtime has read it
	}
	limitMemory(o.log, "/")
	return nil
}

// noticeLog logs what there is no terminal for.
type noticeLog struct{ log *slog.Logger }

// Write implements io.Writer.
func (n noticeLog) Write(b []byte) (int, error) {
	n.log.Info("notice", "text", strings.TrimSpace(string(b)))
	return len(b), nil
}
