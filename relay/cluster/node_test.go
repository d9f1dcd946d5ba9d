package cluster

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"countersign/ingest/forward/group"
	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay"
	"countersign/relay/format"
	"countersign/relay/registry"
)

// node is a relay that may be killed between any two of its steps, and inside some of them. It has
// one partition, or thinks so.
type node struct {
	w      *world
	name   string
	dir    string // of its file; "": it has none
	port   *port
	store  *store.Store
	outbox *outbox.Outbox
	relay  *relay.Relay
	p      *Partition // nil: it owns nothing, and knows it
	told   int64      // the end of the receipts when it took the partition
	stop   func() error
}

var endpoints = []string{"acme-a", "acme-b"}

func splitLane(lane string) (partner, id string, live bool) { return relay.SubjectOf(lane) }

// open opens the node's file, or an empty one.
func (n *node) open() {
	t := n.w.t
	t.Helper()
	if n.dir == "" {
		n.dir = tempDir(n.w)
	}
	var p *Partition
	s, err := store.Open(store.Options{Dir: n.dir, Linger: time.Microsecond})
	if err != nil {
		t.Fatal(err)
	}
	s.Watch(func(name store.Name, key []byte) {
		if p != nil {
			p.Wrote(name, key)
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	n.stop = func() error {
		cancel()
		return errors.Join(<-done, s.Close())
	}
	sealer, err := store.OpenSealer(n.dir)
	if err != nil {
		t.Fatal(err)
	}
	partner := registry.Partner{ID: "acme"}
	var owed []outbox.Endpoint
	for _, id := range endpoints {
		partner.Endpoints = append(partner.Endpoints, registry.Endpoint{ID: id, URL: "http://127.0.0.1:1/", Format: standard(n.w), Events: []string{"*"}, MaxOwed: 1000})
		owed = append(owed, outbox.Endpoint{ID: id, MaxOwed: 1000})
	}
	reg, err := registry.New(registry.Options{Store: s, Partners: []registry.Partner{partner}, Sealer: sealer})
	if err == nil {
		err = reg.RegisterPolicies(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	n.store = s
	if n.outbox, err = outbox.New(outbox.Options{Store: s, Logger: slog.New(slog.DiscardHandler), Now: n.w.now, Settled: relay.SettledWithReceipt, Decides: relay.Decides}, owed); err != nil {
		t.Fatal(err)
	}
	if n.relay, err = relay.New(relay.Options{Store: s, Outbox: n.outbox, Registry: reg, Journal: orders{n.w}, Logger: slog.New(slog.DiscardHandler), Now: n.w.now}); err != nil {
		t.Fatal(err)
	}
	p = New(Options{Node: n.name, Store: s, Relay: n.relay, Outbox: n.outbox, Topics: n.port, Now: n.w.now})
	p.partSize = n.w.partSize
	n.p = p
	n.makes()
}

// kill ends the process: what is in the file stays, what was in memory is gone.
func (n *node) kill() {
	n.w.t.Helper()
	if n.p == nil {
		return
	}
	n.p = nil
	if err := n.stop(); err != nil {
		n.w.t.Fatal(err)
	}
}

// lose loses the file, too.
func (n *node) lose() {
	n.kill()
	n.drop()
}

func (n *node) drop() {
	if n.dir != "" {
		if err := os.RemoveAll(n.dir); err != nil {
			n.w.t.Fatal(err)
		}
	}
	n.dir = ""
}

// take is what a node does that is given the partition: with its file, if that is new enough. What
// it was before, it is no more.
func (n *node) take() {
	w := n.w
	w.t.Helper()
	w.takeovers++
	n.kill()
	n.port = &port{w, w.member}
	cold, empty := false, n.dir == ""
	n.open()
	n.told = w.logs[Receipts].end
	err := n.p.Take(w.t.Context(), nil)
	if errors.Is(err, ErrCold) {
		var unsent []relay.Receipt
		if err := n.store.View(func(tx *store.Tx) error {
			unsent = Unsent(tx)
			return nil
		}); err != nil {
			w.t.Fatal(err)
		}
		n.lose()
		n.open()
		cold = true
		err = n.p.Take(w.t.Context(), unsent)
	}
	switch {
	case errors.Is(err, errLost), errors.Is(err, group.ErrUnknown): // it will be asked again
		n.lose()
	case err != nil:
		w.failed("%s takes it over: %v", n.name, err)
		n.kill()
	case cold || empty:
		w.cold++
		if w.marked {
			w.restored += len(n.p.published.strands)
		}
	default:
		w.warm++
	}
}

// step lets a node do one thing as the owner that it is, or thinks it is.
func (n *node) step() {
	w, ctx := n.w, n.w.t.Context()
	var err error
	switch w.dice.IntN(10) {
	case 9:
		if n.p.CaughtUp() {
			_, err = n.relay.FireDue(ctx)
		}
	case 0, 1, 2:
		_, err = n.p.FoldSome(ctx)
	case 3, 4:
		err = n.deliver(false)
	case 5:
		_, err = n.p.TellReceipts(ctx)
	case 6:
		_, err = n.p.ReceiveSome(ctx)
	case 7:
		var done bool
		if done, err = n.p.CheckpointSome(ctx, 1+w.dice.IntN(8)); done {
			w.rounds++
		}
	case 8:
		var did bool
		if did, err = n.p.ClearSome(ctx, 1+w.dice.IntN(4)); did {
			w.cleared++
		}
	}
	n.went(err)
}

// went looks at how a step ended. Who is no member any more goes on all the same, as long as it can.
func (n *node) went(err error) {
	owner := n.port.member == n.w.member
	var broken *group.LogError
	switch {
	case err == nil, errors.Is(err, errLost), errors.Is(err, group.ErrUnknown), errors.Is(err, errCrash):
	case errors.Is(err, group.ErrRefused) && !owner:
	case errors.As(err, &broken) && !owner:
		n.kill() // what a zombie would read is gone
	default:
		n.w.failed("%s (owner: %v): %v", n.name, owner, err)
	}
}

var errCrash = errors.New("the process was killed")

// deliver tries some of what is owed. all: the partner accepts everything, and nobody dies.
func (n *node) deliver(all bool) error {
	w := n.w
	if !n.p.CaughtUp() {
		return nil
	}
	for _, e := range endpoints {
		ds, _, err := n.outbox.Claim(e, outbox.Turn{Max: 1 + w.dice.IntN(4), Failed: 4})
		if err != nil {
			return err
		}
		for i := range ds {
			a := outbox.Attempt{Delivery: ds[i], Outcome: outbox.Done, Code: 200, At: w.now(), Took: time.Millisecond}
			switch {
			case all, w.oneIn(2):
			case w.oneIn(6):
				a.Outcome, a.Reason, a.Code = outbox.Died, "rejected", 400
			case w.oneIn(3):
				a.Outcome, a.Reason, a.Code, a.Retry = outbox.Retry, "5xx", 500, w.now()
			}
			for _, r := range w.said[ds[i].ID()] {
				if r.offset < n.told && r.order >= ds[i].Order {
					w.failed("%s is tried, though it had ended before %s took the partition", ds[i].ID(), n.name)
				}
			}
			switch a.Outcome {
			case outbox.Done:
				w.arrives(&ds[i])
			case outbox.Died:
				w.ended[ds[i].ID()], w.died[ds[i].ID()] = w.tick, true
			default:
			}
			if !all && w.oneIn(30) {
				w.crashes++
				n.kill()
				return errCrash
			}
			n.outbox.Settle(a)
			if err := n.outbox.Flush(w.t.Context()); err != nil {
				return err
			}
			if a.Outcome == outbox.Died {
				w.dead = append(w.dead, ds[i])
			}
		}
	}
	return nil
}

// arrives notes what the partner has accepted.
func (w *world) arrives(d *outbox.Delivery) {
	lane, id := d.Endpoint+" "+d.Lane, d.ID()
	if was, ok := w.bodies[id]; ok && was != string(d.Body) {
		w.failed("%s has another body than before", id)
	} else if ok {
		w.repeats++
	}
	w.bodies[id], w.ended[id] = string(d.Body), w.tick
	w.told[lane] = append(w.told[lane], arrival{id, d.Sequence})
}

// standard is the format of all endpoints.
func standard(w *world) format.Format {
	f, ok := format.ByName("standard")
	if !ok {
		w.t.Fatal("no format standard")
	}
	return f
}

// tempDir is a directory in memory, where there is one: a history is nothing but commits.
func tempDir(w *world) string {
	base := ""
	if fi, err := os.Stat("/dev/shm"); err == nil && fi.IsDir() {
		base = "/dev/shm"
	}
	dir, err := os.MkdirTemp(base, "cluster")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
