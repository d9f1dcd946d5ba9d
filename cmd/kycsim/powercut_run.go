package main

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"countersign/signing"
)

// cutRun is one database under way: a disk, a gateway upon it, and both sides of it outside.
type cutRun struct {
	c    *powercutCmd
	m    *cutMode
	r    *cutReport
	rng  *rand.Rand
	cuts int // to be made

	d         *faultyDisk
	g         *gateway
	s         setup
	sent, got *ledger
	failed    bool // a call has gone wrong since the power was back
}

// errDestroyed ends a database.
var errDestroyed = errors.New("destroyed")

const (
	// cutWithin bounds how long a plan waits for the calls it counts; then the power goes anyway.
	cutWithin = 10 * time.Second
	// hangsFor bounds how long a disk hangs before its power goes.
	hangsFor = 3 * time.Second
	// endsFor bounds how long the power stays after a call has failed, whether the gateway has
	// ended because of it and been started again, or not yet.
	endsFor = 3 * time.Second
	// giveUp is for how long a provider repeats a callback: longer than any of these.
	giveUp = 20 * time.Second
	// maxStarts bounds how often a gateway that ends by itself is started again before the power
	// goes.
	maxStarts = 40
)

// database makes cuts until there are enough, or until the database is destroyed; then the ledgers
// are read.
func (u *cutRun) database(ctx context.Context) (err error) {
	u.r.Databases++
	dir := filepath.Join(u.c.Dir, fmt.Sprintf("%s-%d", u.m.name, u.r.Databases))
	key, _, err := signing.GenerateKey(crand.Reader)
	if err != nil {
		return fmt.Errorf("powercut: %w", err)
	}
	u.s = setup{dir: dir, endpoints: u.c.Endpoints, concurrency: 32, key: key, sources: testSources(), maxSize: u.m.maxSize}
	if u.s.partner, err = freeAddr(ctx); err != nil {
		return err
	}
	if u.g, err = u.s.write(ctx, u.c.Gateway, ""); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, u.g.end()) }()
	if u.d, err = startDisk(ctx, u.c.Disk, filepath.Join(dir, "data"), os.Stderr); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, u.endDisk()) }()
	fired, received := filepath.Join(dir, "fired.jsonl"), filepath.Join(dir, "received.jsonl")
	if u.sent, err = openLedger(fired); err != nil {
		return err
	}
	if u.got, err = openLedger(received); err != nil {
		return errors.Join(err, u.sent.Close())
	}
	err = u.course(ctx)
	destroyed := errors.Is(err, errDestroyed)
	if destroyed {
		err = nil
	}
	if err := errors.Join(err, u.sent.Close(), u.got.Close()); err != nil || destroyed {
		return err
	}
	return u.hold(fired, received)
}

// hold holds the ledgers against each other.
func (u *cutRun) hold(fired, received string) error {
	o := judgeOptions{Fired: []string{fired}, Received: []string{received}, Around: u.m.late}
	for i := range u.c.Endpoints {
		o.Paths = append(o.Paths, endpointPath(i))
	}
	found, err := judge(o)
	u.r.Found.add(&found)
	return err
}

// endDisk has the gateway gone first, for nobody can end who waits for a disk.
func (u *cutRun) endDisk() error {
	if u.g.cmd != nil && u.g.cmd.Process != nil {
		_ = u.g.cmd.Process.Kill() // gone already is as good
	}
	return u.d.end()
}

// course fires throughout, makes the cuts, and lets everything arrive in the end.
func (u *cutRun) course(ctx context.Context) error {
	p, err := startPartner(ctx, partnerOptions{Addr: u.s.partner, Key: u.s.key, Format: "standard", Seed: u.c.Seed, Ledger: u.got})
	if err != nil {
		return err
	}
	defer p.close() //nolint:errcheck // the ledger tells what it received
	if err := u.start(ctx); err != nil {
		return err
	}
	sources := make([]*source, len(u.s.sources))
	for i, spec := range u.s.specs() {
		if sources[i], err = newSource(spec, nil); err != nil {
			return err
		}
	}
	firing, enough := context.WithCancel(ctx)
	defer enough()
	done, over := make(chan error, 1), make(chan struct{})
	go func() {
		s, err := fire(firing, fireOptions{
			URL: u.g.url, Sources: sources, Rate: u.c.Rate, Connections: 32, Persons: u.c.Persons, Events: u.c.EventsPerPerson,
			Duplicates: 0.02, GiveUp: giveUp, Seed: u.c.Seed + uint64(u.r.Databases), Run: freshRun(), Ledger: u.sent, //nolint:gosec // never negative
			Over: over,
		})
		select {
		case <-over:
		default:
			u.r.GivenUp += s.GivenUp
		}
		for code, n := range s.Refused {
			u.r.Refused[code] += n
		}
		done <- err
	}()
	for range u.cuts {
		if err = u.one(ctx); err != nil {
			break
		}
	}
	enough()
	if err != nil {
		close(over)
	}
	if err := errors.Join(err, <-done); err != nil {
		return err
	}
	return u.finish(ctx)
}

// one lets the load run, has the disk fail as planned, takes its power, and has the gateway start
// upon what is left.
func (u *cutRun) one(ctx context.Context) error {
	load := u.c.Load/10 + time.Duration(u.rng.Int64N(int64(u.c.Load)*9/10+1))
	if err := pause(ctx, load); err != nil {
		return err
	}
	p := u.m.plan(u.rng)
	p.Seed = u.rng.Uint64()
	if err := u.d.arm(p); err != nil {
		return err
	}
	if err := u.untilCut(ctx); err != nil {
		return err
	}
	u.r.Cuts++
	u.sent.fired(&firedLine{T: time.Now().UnixNano(), Ev: evKilled})
	_ = u.g.cmd.Process.Kill() // gone already is as good
	if err := u.d.release(); err != nil {
		return err
	}
	<-u.g.exited
	counts, err := u.d.restore(cutStyles[u.r.Cuts%len(cutStyles)], u.rng.Uint64())
	if err != nil {
		return err
	}
	u.r.Unflushed += counts.Unflushed
	u.r.Left += counts.Left
	u.failed = false
	return u.start(ctx)
}

// untilCut waits for the power to go, and starts a gateway that ends because a call went wrong
// again, upon the same disk.
func (u *cutRun) untilCut(ctx context.Context) error {
	patience := time.NewTimer(cutWithin)
	defer patience.Stop()
	for starts := 0; ; {
		select {
		case e := <-u.d.events:
			if e.Event == eventCut {
				return nil
			}
			if u.r.Failed++; u.failed {
				continue
			}
			u.failed = true
			if u.m.hangs {
				patience.Reset(time.Duration(u.rng.Int64N(int64(hangsFor))))
			} else if u.m.ends {
				patience.Reset(endsFor)
			}
		case <-u.g.exited:
			if err := u.ended(); err != nil {
				return err
			}
			if starts++; starts > maxStarts { // the disk goes on failing: that is as good a moment as any
				return u.d.cut()
			}
			if err := u.g.start(ctx); err != nil {
				return err
			}
		case <-patience.C:
			if err := u.d.cut(); err != nil {
				return err
			}
		case <-u.d.ended:
			return errors.New("the disk has ended")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ended notes that the gateway has ended by itself.
func (u *cutRun) ended() error {
	u.sent.fired(&firedLine{T: time.Now().UnixNano(), Ev: evKilled})
	if err := u.d.told(); err != nil {
		return err
	}
	if code := u.g.cmd.ProcessState.ExitCode(); code == 1 && u.m.ends && (u.failed || len(u.d.events) > 0) {
		u.r.Ended++
		return nil
	}
	u.r.Crashed++
	u.r.problem("after cut %d the gateway ended by itself (%s); see %s", u.r.Cuts, u.g.cmd.ProcessState, u.g.log.Name())
	return nil
}

// start starts the gateway and notes how long it took to be ready. One that refuses has nothing
// left to start upon.
func (u *cutRun) start(ctx context.Context) error {
	began := time.Now()
	if err := u.g.start(ctx); err != nil {
		return err
	}
	if err := u.g.ready(ctx); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		u.r.Destroyed++
		u.r.problem("after cut %d: %v", u.r.Cuts, err)
		return errDestroyed
	}
	took := time.Since(began)
	u.r.ready.add(took)
	u.r.readyMax = max(u.r.readyMax, took)
	return nil
}

// finish waits until everything has arrived and ends the gateway in good order. What goes wrong
// here is a finding, for the ledgers are whole.
func (u *cutRun) finish(ctx context.Context) error {
	if _, err := u.g.settled(ctx, u.c.Settle); err != nil {
		u.r.problem("%v", err)
	}
	if _, err := u.g.stop(); err != nil {
		u.r.problem("%v", err)
	}
	return ctx.Err()
}
