package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"countersign/relay/control/client"
)

type doctorCommand struct {
	gatewayFlags
	jsonFlag
	Ping bool          `help:"Also send each endpoint a test webhook, as endpoints ping does."`
	Most time.Duration `help:"Overall timeout." default:"20s"`
}

// Run examines, prints a table of what was found, and says no if something is bad.
func (cmd *doctorCommand) Run(c *console) error {
	if cmd.Most < time.Second || cmd.Most > 10*time.Minute {
		return usageError("doctor takes --most from 1s to 10m")
	}
	d := &doctor{ping: cmd.Ping}
	if err := cmd.find(c, d); err != nil {
		return err
	}
	began := time.Now()
	found := d.examine(c.ctx, cmd.Most)
	return cmd.print(c, found, time.Since(began))
}

// find finds the gateway: at a URL, or through the config of one on this machine.
func (cmd *doctorCommand) find(c *console, d *doctor) (err error) {
	cmd.tries = 1
	at := cmd.named(c, cmd.URL)
	if at == "" {
		if d.cfg, err = (configFlag{Config: cmp.Or(cmd.Config, "countersign.yaml")}).load(c); err != nil {
			return err
		}
		d.base = "http://" + reachable(d.cfg.Listen.Control)
		d.client, d.noClient = cmd.client(c)
		return nil
	}
	d.base = strings.TrimSuffix(at, "/")
	d.client, err = cmd.client(c)
	return err
}

func (cmd *doctorCommand) print(c *console, found []finding, took time.Duration) error {
	count := map[string]int{}
	for i := range found {
		count[found[i].State]++
	}
	if cmd.JSON {
		if err := c.show(map[string]any{"ok": count[stateBad] == 0, "took_ms": took.Milliseconds(), "findings": found}); err != nil {
			return err
		}
	} else {
		probe, of := 0, 0
		for i := range found {
			probe, of = max(probe, len(found[i].Probe)), max(of, len(found[i].Of))
		}
		for i := range found {
			f := &found[i]
			c.printf("%-8s %-*s %-*s %s\n", f.State, probe, f.Probe, of, f.Of, f.What)
			if f.Remedy != "" {
				c.printf("%-8s %-*s %-*s → %s\n", "", probe, "", of, "", f.Remedy)
			}
		}
		c.printf("%d bad, %d warning(s), %d ok, in %.1f s\n", count[stateBad], count[stateWarning], count[stateOK], took.Seconds())
	}
	if count[stateBad] > 0 {
		return errNo
	}
	return nil
}

// The states of a finding.
const (
	stateOK      = "ok"
	stateWarning = "warning" // it works, and will not for ever, or not as it is meant
	stateBad     = "bad"     // something does not work
)

// finding is one thing that was looked at.
type finding struct {
	Probe  string `json:"probe"`        // what was looked for, such as tls
	Of     string `json:"of,omitempty"` // of what, such as an endpoint
	State  string `json:"state"`
	What   string `json:"what"`
	Remedy string `json:"remedy,omitempty"`
}

func fine(what string, args ...any) finding {
	return finding{State: stateOK, What: fmt.Sprintf(what, args...)}
}

func doubt(remedy, what string, args ...any) finding {
	return finding{State: stateWarning, What: fmt.Sprintf(what, args...), Remedy: remedy}
}

func bad(remedy, what string, args ...any) finding {
	return finding{State: stateBad, What: fmt.Sprintf(what, args...), Remedy: remedy}
}

// doctor examines one gateway. It calls nobody who is not in its config, and changes nothing.
type doctor struct {
	cfg      *Config // nil: the gateway is elsewhere
	base     string  // URL of its control listener
	client   *client.Client
	noClient error // why there is none
	ping     bool

	resolver *net.Resolver        // nil: the system's
	flush    func(*os.File) error // nil: the system's

	names lookups
	dates dates
}

// probe looks for one thing, of one thing, until its context ends.
type probe struct {
	name, of string
	look     func(ctx context.Context) []finding
}

const (
	abreast    = 32              // probes under way at once
	ofOneProbe = 8 * time.Second // at most
	lastGrace  = 250 * time.Millisecond
)

// examine has every probe look, several at once and none for long, and returns what they found in
// their order, which is the same every time. What a call to the system holds up for longer than
// most is left behind: the process ends soon.
func (d *doctor) examine(ctx context.Context, most time.Duration) (all []finding) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	tick := startTick()
	probes := d.probes()
	found := make([][]finding, len(probes))
	slots := make(chan struct{}, abreast)
	var wg sync.WaitGroup
	for i := range probes {
		wg.Go(func() { found[i] = probes[i].bounded(ctx, slots) })
	}
	wg.Wait()
	for i := range probes {
		for _, f := range found[i] {
			f.Probe, f.Of = cmp.Or(f.Probe, probes[i].name), cmp.Or(f.Of, probes[i].of)
			all = append(all, f)
		}
	}
	return slices.Concat(d.clock(tick), all)
}

// bounded looks, and says so if that takes too long.
func (p *probe) bounded(ctx context.Context, slots chan struct{}) []finding {
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return []finding{doubt("give it longer with --most", "was not looked at: the time was up")}
	}
	ctx, cancel := context.WithTimeout(ctx, ofOneProbe)
	defer cancel()
	found := make(chan []finding, 1)
	go func() { found <- p.look(ctx) }()
	select {
	case f := <-found:
		return f
	case <-ctx.Done():
	}
	select { // it has been told, and may know why
	case f := <-found:
		return f
	case <-time.After(lastGrace):
		return []finding{bad("see what holds it up: the disk, the name server or the network", "did not answer in time")}
	}
}

// probes are all that look at this gateway.
func (d *doctor) probes() (ps []probe) {
	add := func(name, of string, look func(context.Context) []finding) {
		ps = append(ps, probe{name, of, look})
	}
	if d.cfg != nil {
		add("disk", d.cfg.Data, d.disk)
		add("descriptors", "", d.descriptors)
		add("memory", "", d.memory)
	}
	add("gateway", d.base, d.gateway)
	add("pending", "", d.owed)
	add("measured", "", d.measured)
	if d.cfg == nil {
		return ps
	}
	for _, host := range d.hosts() {
		add("dns", host, func(ctx context.Context) []finding { return d.dns(ctx, host) })
	}
	for _, t := range d.targets() {
		add(t.probe, t.of, func(ctx context.Context) []finding { return d.reach(ctx, &t) })
		if d.ping && t.endpoint != "" {
			add("ping", t.of, func(ctx context.Context) []finding { return d.pinged(ctx, t.endpoint) })
		}
	}
	if d.cfg.Kafka != nil {
		add("kafka", strings.Join(d.cfg.Kafka.Brokers, " "), d.kafka)
	}
	return append(ps, d.ownCertificates()...)
}

// pinged has the gateway send a test webhook.
func (d *doctor) pinged(ctx context.Context, endpoint string) []finding {
	if d.client == nil {
		return nil // said by gateway
	}
	v, err := d.client.Ping(ctx, endpoint)
	switch {
	case err != nil:
		return []finding{bad("countersign endpoints ping "+endpoint+" says more", "no test webhook was sent: %v", err)}
	case !v.Delivered:
		return []finding{bad("compare with what the partner has logged", "the test webhook was not taken: %s %s", v.Reason, v.Detail)}
	}
	return []finding{fine("the test webhook was answered %d after %s", v.Code, millis(time.Duration(v.TookMS*float64(time.Millisecond))))}
}

// millis is a duration as it is printed.
func millis(d time.Duration) string {
	if d < 10*time.Millisecond {
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}

// worst is whether one of these is bad.
func worst(fs []finding) bool {
	return slices.ContainsFunc(fs, func(f finding) bool { return f.State == stateBad })
}

var errNoAddress = errors.New("it has no address")
