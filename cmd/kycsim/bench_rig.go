package main

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"countersign/signing"
)

// stopwatch knows when the events of each person were sent that have not arrived.
type stopwatch struct {
	mu   sync.Mutex // guards the field below
	sent map[string][]time.Time
	took latencies
}

func (w *stopwatch) before(c *callback, at time.Time) {
	w.mu.Lock()
	w.sent[c.line.Subject] = append(w.sent[c.line.Subject], at)
	w.mu.Unlock()
}

func (w *stopwatch) arrived(r *receivedLine, at time.Time) {
	w.mu.Lock()
	began := w.sent[r.Subject]
	if len(began) > 1 {
		w.sent[r.Subject] = began[1:]
	} else {
		delete(w.sent, r.Subject)
	}
	w.mu.Unlock()
	if len(began) > 0 {
		w.took.add(at.Sub(began[0]))
	}
}

// rig is what does the work that is measured, in a process of its own, and the partner it tells.
type rig struct {
	url     string // callbacks go to it, with the name of their source
	source  *source
	pid     int
	partner *partner
	watch   *stopwatch
	settled func(ctx context.Context, acked int64) error
	end     func() error // of all of it
	profile func(ctx context.Context, seconds int) ([]byte, error)
	metrics func(ctx context.Context) ([]byte, error) // nil: it has none
}

// readInstead has a partner read other bodies than ours.
type readInstead func(body []byte, r *receivedLine) error

// one has a rig do its work under a load.
func (c *benchCmd) one(ctx context.Context, with func(context.Context, string, int) (*rig, error), name string, l loaded) (f worked, err error) {
	r, err := with(ctx, name, l.endpoints)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, r.end()) }()
	if err := l.fill(ctx, r, c.Seed); err != nil {
		return f, err
	}
	if err := pause(ctx, idleAfter); err != nil {
		return f, err
	}
	told := r.partner.accepted.Load()
	records, commits, err := r.storeWrites(ctx)
	if err != nil {
		return f, err
	}
	if f.idle, err = residentOf(r.pid); err != nil {
		return f, err
	}
	used, err := cpuTime(r.pid)
	if err != nil {
		return f, err
	}
	wrote, err := writtenBy(r.pid)
	if err != nil {
		return f, err
	}
	o := fireOptions{
		URL: r.url, Sources: []*source{r.source}, Connections: l.connections, Persons: 2048, Events: l.events, GiveUp: 10 * time.Second, Seed: c.Seed, Run: freshRun(),
		Rate: l.rate, Duration: l.lasts, Before: r.watch.before,
	}
	began, stopWatch := time.Now(), watch(ctx, r.pid)
	defer stopWatch()
	profiled := c.profile(ctx, r, l.lasts)
	fired, err := fire(ctx, o)
	err = errors.Join(err, <-profiled)
	if err == nil {
		err = r.settled(ctx, fired.Acked)
	}
	if err != nil {
		return f, err
	}
	took := time.Since(began)
	f.top = stopWatch()
	after, err := cpuTime(r.pid)
	if err != nil {
		return f, err
	}
	written, err := writtenBy(r.pid)
	if err != nil {
		return f, err
	}
	recordsNow, commitsNow, err := r.storeWrites(ctx)
	if err != nil {
		return f, err
	}
	f.records, f.commit = (recordsNow-records)/float64(fired.Acked), float64(fired.Acked)/(commitsNow-commits)
	f.acked, f.delivered, f.badlySigned = fired.Acked, r.partner.accepted.Load()-told, r.partner.badlySigned.Load()
	if f.acked == 0 || f.delivered < f.acked {
		return f, fmt.Errorf("%s: %d were acknowledged, and %d delivered", name, f.acked, f.delivered)
	}
	f.perSecond, f.ackedPerSecond = float64(f.delivered)/took.Seconds(), fired.Rate
	f.cpu, f.written = float64((after-used).Microseconds())/float64(f.acked), float64(written-wrote)/1024/float64(f.acked)
	f.p50, f.p99 = milliseconds(r.watch.took.quantile(0.5)), milliseconds(r.watch.took.quantile(0.99))
	return f, nil
}

// storeWrites is how many records a rig has put or deleted so far, and in how many commits; of the
// bare work nothing is known.
func (r *rig) storeWrites(ctx context.Context) (records, commits float64, err error) {
	if r.metrics == nil {
		return 0, 0, nil
	}
	text, err := r.metrics(ctx)
	if err != nil {
		return 0, 0, err
	}
	records, _ = sumOf(text, "countersign_store_records_written_total")
	commits, _ = sumOf(text, "countersign_store_commit_group_size_count")
	return records, commits, nil
}

// profile writes down where the CPU goes in the middle half of a load, if that is asked for.
func (c *benchCmd) profile(ctx context.Context, r *rig, lasts time.Duration) <-chan error {
	ended := make(chan error, 1)
	if c.Profile == "" || r.profile == nil {
		close(ended)
		return ended
	}
	go func() {
		err := pause(ctx, lasts/4)
		var b []byte
		if err == nil {
			b, err = r.profile(ctx, int(lasts.Seconds()/2))
		}
		if err == nil {
			err = os.WriteFile(c.Profile, b, 0o600)
		}
		ended <- err
	}()
	return ended
}

func (c *benchCmd) gatewayRig(ctx context.Context, name string, endpoints int) (*rig, error) {
	s := setup{endpoints: endpoints, concurrency: benchConcurrent}
	g, clean, err := c.place(ctx, name, c.Gateway, "", &s)
	if err != nil {
		return nil, err
	}
	r := &rig{url: g.url, watch: &stopwatch{sent: map[string][]time.Time{}}}
	if r.source, err = newSource(s.spec(&s.sources[0]), nil); err != nil {
		return nil, errors.Join(err, clean())
	}
	if r.partner, err = startPartner(ctx, partnerOptions{Addr: s.partner, Key: s.key, Format: "standard", Arrived: r.watch.arrived}); err != nil {
		return nil, errors.Join(err, clean())
	}
	if err := errors.Join(g.start(ctx), g.ready(ctx)); err != nil {
		return nil, errors.Join(err, clean(), r.partner.close())
	}
	r.pid = g.pid()
	r.settled = func(ctx context.Context, _ int64) error {
		_, err := g.settled(ctx, settleWithin)
		return err
	}
	r.profile = func(ctx context.Context, seconds int) (b []byte, err error) {
		err = g.call(ctx, http.MethodGet, fmt.Sprintf("/debug/pprof/profile?seconds=%d", seconds), "", &b)
		return b, err
	}
	r.metrics = func(ctx context.Context) ([]byte, error) {
		_, text, err := get(ctx, g.control+"/metrics")
		return text, err
	}
	r.end = func() error {
		_, err := g.stop()
		return errors.Join(err, clean(), r.partner.close())
	}
	return r, nil
}

// bareRig is the bare work (see bareWorkCmd).
func (c *benchCmd) bareRig(ctx context.Context, name string, endpoints int) (*rig, error) {
	dir := filepath.Join(c.Dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("bare work: %w", err)
	}
	key, _, err := signing.GenerateKey(crand.Reader)
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	from := testSources()[0]
	keyFile := filepath.Join(dir, from.file())
	if err := os.WriteFile(keyFile, []byte(from.key), 0o600); err != nil {
		return nil, fmt.Errorf("bare work: %w", err)
	}
	r := &rig{url: "http://" + addr + "/v1/callbacks/", watch: &stopwatch{sent: map[string][]time.Time{}}}
	if r.source, err = newSource(from.name+":"+from.provider+":file:"+keyFile, nil); err != nil {
		return nil, err
	}
	if r.partner, err = startPartner(ctx, partnerOptions{Addr: "127.0.0.1:0", Key: key, Format: "standard", Read: readCallback, Arrived: r.watch.arrived}); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, errors.Join(err, r.partner.close())
	}
	args := []string{"bare-work", "--addr", addr, "--dir", dir, "--source", from.key, "--key", key}
	for i := range endpoints {
		args = append(args, "--url", "http://"+r.partner.addr()+endpointPath(i))
	}
	cmd := exec.CommandContext(ctx, self, args...) //nolint:gosec // this program
	cmd.Stderr = os.Stderr
	ready, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		_, err = ready.Read(make([]byte, 16))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bare work: %w", err), r.partner.close())
	}
	r.pid = cmd.Process.Pid
	r.settled = func(ctx context.Context, acked int64) error { return r.partner.reached(ctx, acked*int64(endpoints)) }
	r.end = func() error {
		err := cmd.Process.Signal(syscall.SIGTERM)
		return errors.Join(err, cmd.Wait(), r.partner.close(), os.RemoveAll(dir))
	}
	return r, nil
}

// readCallback finds the person in a callback that is relayed as it came.
func readCallback(body []byte, r *receivedLine) error {
	_, rest, ok := bytes.Cut(body, []byte(`"externalUserId"`))
	if _, rest, _ = bytes.Cut(rest, []byte{'"'}); !ok {
		return errors.New("no person in the body")
	}
	id, _, _ := bytes.Cut(rest, []byte{'"'})
	r.Subject = string(id)
	return nil
}

// reached waits until so many have been accepted.
func (p *partner) reached(ctx context.Context, n int64) error {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	for p.accepted.Load() < n {
		if err := pause(ctx, time.Millisecond); err != nil {
			return fmt.Errorf("%d of %d deliveries arrived: %w", p.accepted.Load(), n, err)
		}
	}
	return nil
}

// writtenBy is how many bytes a process has caused to be written to disks.
func writtenBy(pid int) (n int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0, fmt.Errorf("read what is written: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if _, err := fmt.Sscanf(line, "write_bytes: %d", &n); err == nil {
			return n, nil
		}
	}
	return 0, errors.New("read what is written: /proc does not say")
}
