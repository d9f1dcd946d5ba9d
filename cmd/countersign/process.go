package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// process is the components of one gateway, stopped in the reverse order of their start: what takes
// work in stops before what carries it out, and the disk stops last.
type process struct {
	log    *slog.Logger
	parts  []part
	failed chan error      // the first component that ended by itself
	idle   bool            // nothing is started: see rehearse
	lost   <-chan struct{} // closed when nothing can be finished any more, for the disk has failed: stop then waits for nobody; nil: never
}

type part struct {
	name   string
	cancel context.CancelFunc
	done   chan error
}

func newProcess(log *slog.Logger) *process { return &process{log: log, failed: make(chan error, 1)} }

// start gives a component its goroutine, the only place that does.
func (p *process) start(name string, run func(context.Context) error) {
	if p.idle {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := part{name: name, cancel: cancel, done: make(chan error, 1)}
	p.parts = append(p.parts, c)
	go func() {
		err := run(ctx)
		if ctx.Err() == nil { // it was not asked to
			if err == nil {
				err = errors.New("stopped by itself")
			}
			select {
			case p.failed <- fmt.Errorf("%s: %w", name, err):
			default:
			}
		}
		c.done <- err
	}()
}

// wait returns when ctx ends (nil) or a component does (its error).
func (p *process) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-p.failed:
		return err
	}
}

const partStop = 20 * time.Second // more than any component's own grace

// stop ends the components, the last started first, and returns what went wrong.
func (p *process) stop() error {
	var errs []error
	for _, c := range slices.Backward(p.parts) {
		started := time.Now()
		c.cancel()
		select {
		case err := <-c.done:
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", c.name, err))
			}
		case <-p.lost: // the end of the process takes it along
		case <-time.After(partStop):
			errs = append(errs, fmt.Errorf("%s did not stop within %s", c.name, partStop))
		}
		p.log.Debug("component_stopped", "name", c.name, "took", time.Since(started))
	}
	p.parts = nil
	return errors.Join(errs...)
}
