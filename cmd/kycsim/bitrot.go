package main

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"countersign/signing"
)

// bitrotCmd is `kycsim bitrot`.
type bitrotCmd struct {
	Gateway       string `help:"The gateway's binary." required:"" type:"existingfile"`
	Flips         int    `help:"How many single bits are flipped, one a life." default:"2000"`
	Others        int    `help:"How often a page is zeroed, is an older one, or changes places with another, and the file is cut; of each." default:"50"`
	Dir           string `help:"An empty directory." required:""`
	Seed          uint64 `help:"Of all randomness." default:"1"`
	Lives         int    `help:"Gateways at a time." default:"3"`
	ExpectFailure bool   `help:"For a gateway that is broken on purpose: exit 0 only if somebody was told something wrong, or not told without a word."`
}

// Bounds of one life.
const (
	rotPersons = 12
	rotMemory  = 256 << 20   // bytes, of the gateway and whatever it starts
	rotReady   = time.Minute // from the start to /readyz, or to its end
	rotSettle  = 3 * time.Second
)

// toldOnce is one thing that a partner was told of somebody.
type toldOnce struct {
	Seq    uint64
	ID     string
	Type   string
	Status string
}

// rotReport is what came of all lives, by kind of damage.
type rotReport struct {
	mu       sync.Mutex // guards all fields
	outcomes map[string]map[string]int
	faults   []string
	memory   int64
	ready    time.Duration
	lives    int
}

// rotting is the base that every life is a damaged copy of, and what a partner is told in a life without damage.
type rotting struct {
	c           *bitrotCmd
	base, older []byte // the database, and as it once was
	files       map[string][]byte
	key         string
	sources     []sourceKey
	began       time.Time
	want        map[string][]toldOnce
}

// Run damages and judges.
func (c *bitrotCmd) Run(ctx context.Context, out io.Writer) error {
	key, _, err := signing.GenerateKey(crand.Reader)
	if err != nil {
		return fmt.Errorf("bitrot: %w", err)
	}
	r := &rotting{c: c, key: key, sources: testSources(), began: time.Now().Truncate(time.Second), files: map[string][]byte{}}
	if err := r.prepare(ctx); err != nil {
		return fmt.Errorf("bitrot: %w", err)
	}
	rep := &rotReport{outcomes: map[string]map[string]int{}}
	plan := r.plan()
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, c.Lives)
	for i := range c.Lives {
		wg.Go(func() {
			for n := int(next.Add(1)) - 1; n < len(plan) && errs[i] == nil && ctx.Err() == nil; n = int(next.Add(1)) - 1 {
				errs[i] = r.life(ctx, rep, n, plan[n])
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("bitrot: %w", err)
	}
	if err := rep.print(out); err != nil {
		return err
	}
	if ok := len(rep.faults) == 0; ok == c.ExpectFailure {
		return errNo
	}
	return ctx.Err()
}

func (r *rotReport) print(out io.Writer) error {
	figures := []figure{count("lives", r.lives)}
	for _, kind := range slices.Sorted(maps.Keys(r.outcomes)) {
		var parts []string
		for _, o := range slices.Sorted(maps.Keys(r.outcomes[kind])) {
			parts = append(parts, fmt.Sprintf("%s %d", o, r.outcomes[kind][o]))
		}
		figures = append(figures, figure{kind, strings.Join(parts, ", ")})
	}
	figures = append(figures, count("told wrong, or lost without a word", len(r.faults)),
		figure{"most memory", fmt.Sprintf("%.0f MiB", float64(r.memory)/(1<<20))}, figure{"longest start", fmt.Sprintf("%.1f s", r.ready.Seconds())})
	return printFigures(out, figures, r.faults)
}

// setup is the config of one life. Each has ports of its own.
func (r *rotting) setup(dir, partner string) *setup {
	return &setup{dir: dir, partner: partner, endpoints: 1, concurrency: 8, key: r.key, sources: r.sources}
}

// prepare makes the base: persons of whom partners know something, and are owed more.
func (r *rotting) prepare(ctx context.Context) error {
	dir := filepath.Join(r.c.Dir, "base")
	addr, err := freeAddr(ctx)
	if err != nil {
		return err
	}
	s := r.setup(dir, addr)
	g, err := s.write(ctx, r.c.Gateway, "")
	if err != nil {
		return err
	}
	defer g.end() //nolint:errcheck // its log is of no use here
	got := &listening{}
	p, err := got.start(ctx, s)
	if err != nil {
		return err
	}
	stage := func(from, to int, settled bool) error {
		if err := errors.Join(g.start(ctx), g.ready(ctx)); err != nil {
			return err
		}
		if err := r.send(ctx, g, s, from, to); err != nil {
			return err
		}
		if settled {
			if _, err := g.settled(ctx, 20*time.Second); err != nil {
				return err
			}
		} else if err := pause(ctx, time.Second); err != nil { // everything is folded, and owed
			return err
		}
		_, err := g.stop()
		return err
	}
	if err := stage(0, 2, true); err != nil {
		return err
	}
	if r.older, err = os.ReadFile(filepath.Join(dir, databaseInData0)); err != nil {
		return err
	}
	if err := p.close(); err != nil {
		return err
	}
	if err := stage(2, 4, false); err != nil {
		return err
	}
	if r.base, err = os.ReadFile(filepath.Join(dir, databaseInData0)); err != nil {
		return err
	}
	for _, name := range []string{"countersign.key", "operator.token"} {
		if r.files[name], err = os.ReadFile(filepath.Join(dir, "data", name)); err != nil {
			return err
		}
	}
	l, err := r.live(ctx, filepath.Join(r.c.Dir, "control"), r.base)
	if err != nil {
		return err
	}
	if r.want = l.told; l.refused || len(r.want) != rotPersons {
		return fmt.Errorf("without damage %d of %d persons are told anything: %s", len(r.want), rotPersons, l.said)
	}
	return nil
}

const databaseInData0 = "data/countersign.db"

// send sends events of every person.
func (r *rotting) send(ctx context.Context, g *gateway, s *setup, from, to int) error {
	specs := s.specs()
	for i := range rotPersons {
		src, err := newSource(specs[i%len(specs)], nil)
		if err != nil {
			return err
		}
		p := &person{source: src, subject: fmt.Sprintf("rot-%02d", i), began: r.began, order: make([]int, 6)}
		for n := from; n < to; n++ {
			var c callback
			if err := src.make(&c, p, n); err != nil {
				return err
			}
			if code := postOnce(ctx, g.url+src.name, &c); code != http.StatusOK {
				return fmt.Errorf("event %d of %s is answered %d", n, p.subject, code)
			}
		}
	}
	return nil
}

func postOnce(ctx context.Context, url string, c *callback) int {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(c.body))
	if err != nil {
		return 0
	}
	req.Header.Set("Content-Type", "application/json")
	for _, kv := range c.headers {
		req.Header.Set(kv[0], kv[1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()               //nolint:errcheck // read only
	_, _ = io.Copy(io.Discard, resp.Body) // so that the connection is used again
	return resp.StatusCode
}

// listening is a partner of one life.
type listening struct {
	mu   sync.Mutex // guards told
	told map[string][]toldOnce
}

func (l *listening) start(ctx context.Context, s *setup) (*partner, error) {
	l.told = map[string][]toldOnce{}
	return startPartner(ctx, partnerOptions{Addr: s.partner, Key: s.key, Format: "standard", Arrived: func(r *receivedLine, _ time.Time) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.told[r.Subject] = append(l.told[r.Subject], toldOnce{r.Seq, r.ID, r.Type, r.Status})
	}})
}

// livedOnce is what is known of a life.
type livedOnce struct {
	told    map[string][]toldOnce
	aside   map[string]bool
	damaged float64 // records that the gateway counts as damaged
	refused bool    // it did not start
	said    string  // its log
	ready   time.Duration
	memory  int64
	faults  []string
}

// live runs a gateway on a database, has every person's next event sent, and ends it.
func (r *rotting) live(ctx context.Context, dir string, database []byte) (l livedOnce, err error) {
	addr, err := freeAddr(ctx)
	if err != nil {
		return l, err
	}
	s := r.setup(dir, addr)
	g, err := s.write(ctx, r.c.Gateway, "")
	if err != nil {
		return l, err
	}
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		return l, err
	}
	for name, b := range r.files {
		if err := os.WriteFile(filepath.Join(dir, "data", name), b, 0o600); err != nil {
			return l, err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, databaseInData0), database, 0o600); err != nil {
		return l, err
	}
	got := &listening{}
	p, err := got.start(ctx, s)
	if err != nil {
		return l, err
	}
	began := time.Now()
	if err := g.start(ctx); err != nil {
		return l, errors.Join(err, p.close())
	}
	readyErr := g.ready(ctx)
	l.ready = time.Since(began)
	if readyErr == nil {
		r.use(ctx, g, s, &l)
	} else {
		l.refused = true
	}
	err = errors.Join(g.end(), p.close())
	if u, ok := g.cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		l.memory = u.Maxrss << 10
	}
	l.told = got.told
	text, rerr := os.ReadFile(g.log.Name())
	l.said = string(text)
	return l, errors.Join(err, rerr)
}

// use is the life of a gateway that has started.
func (r *rotting) use(ctx context.Context, g *gateway, s *setup, l *livedOnce) {
	if err := r.send(ctx, g, s, 4, 5); err != nil {
		l.faults = append(l.faults, err.Error())
	}
	_, _ = g.settled(ctx, rotSettle) // what is lost never settles
	l.aside = g.setAside(ctx)
	if _, text, err := get(ctx, g.control+"/metrics"); err == nil {
		l.damaged, _ = sumOf(text, "countersign_store_damaged_records")
	}
	if _, err := g.stop(); err != nil {
		l.faults = append(l.faults, err.Error())
	}
}

// setAside asks the gateway whom it has set aside.
func (g *gateway) setAside(ctx context.Context) map[string]bool {
	token, err := os.ReadFile(filepath.Join(filepath.Dir(g.config), "data", "operator.token"))
	if err != nil {
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.control+"/v1/set-aside", nil)
	if err != nil {
		return nil
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	var v struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if json.NewDecoder(resp.Body).Decode(&v) != nil {
		return nil
	}
	ids := map[string]bool{}
	for _, a := range v.Data {
		ids[a.ID] = true
	}
	return ids
}

// life damages a copy, lives, and judges.
func (r *rotting) life(ctx context.Context, rep *rotReport, n int, kind string) error {
	rng := rand.New(rand.NewPCG(r.c.Seed, uint64(n))) //nolint:gosec // to be repeatable
	bad, how := r.damage(rng, kind)
	dir := filepath.Join(r.c.Dir, fmt.Sprintf("life-%05d", n))
	l, err := r.live(ctx, dir, bad)
	if err != nil || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	outcome, faults := r.judge(&l)
	rep.mu.Lock()
	defer rep.mu.Unlock()
	rep.lives++
	if rep.outcomes[kind] == nil {
		rep.outcomes[kind] = map[string]int{}
	}
	rep.outcomes[kind][outcome]++
	rep.memory, rep.ready = max(rep.memory, l.memory), max(rep.ready, l.ready)
	for _, f := range faults {
		rep.faults = append(rep.faults, fmt.Sprintf("%s (%s): %s", how, dir, f))
	}
	if len(faults) > 0 {
		return nil // it is kept
	}
	return os.RemoveAll(dir)
}

// judge compares a life with the one without damage.
func (r *rotting) judge(l *livedOnce) (outcome string, faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	faults = append(faults, l.faults...)
	if strings.Contains(l.said, "goroutine ") || strings.Contains(l.said, "panic:") {
		fault("it panics")
	}
	if l.memory > rotMemory {
		fault("%d MiB of memory", l.memory>>20)
	}
	if l.ready > rotReady {
		fault("%s until it was ready", l.ready)
	}
	if l.refused {
		if !strings.Contains(l.said, "countersign.db") {
			fault("refused without the name of the file: %.300s", l.said)
		}
		if len(l.told) > 0 {
			fault("refused, and partners were told something")
		}
		return "refused by name", faults
	}
	outcome = "nobody harmed"
	for subject, want := range r.want {
		got := l.told[subject]
		if slices.Equal(got, want) {
			continue
		}
		if wrong := strangerIn(got, want); wrong != nil {
			fault("%s was told %+v, which is not what was to come", subject, *wrong)
		}
		switch {
		case l.aside[subject]:
			outcome = "set aside and counted"
		case l.damaged > 0:
			if outcome == "nobody harmed" {
				outcome = "lost a delivery, counted"
			}
		default:
			fault("%s was told %d of %d, without a word", subject, len(got), len(want))
		}
	}
	for subject := range l.told {
		if r.want[subject] == nil {
			fault("%s is nobody", subject)
		}
	}
	return outcome, faults
}

// strangerIn is the first of got that does not come in want, in this order.
func strangerIn(got, want []toldOnce) *toldOnce {
	at := 0
	for i := range got {
		for at < len(want) && want[at] != got[i] {
			at++
		}
		if at == len(want) {
			return &got[i]
		}
		at++
	}
	return nil
}

// plan lists the kinds of damage, mixed.
func (r *rotting) plan() []string {
	var all []string
	for i := range r.c.Flips {
		all = append(all, flips[i%len(flips)])
	}
	for range r.c.Others {
		all = append(all, others...)
	}
	rng := rand.New(rand.NewPCG(r.c.Seed, 99)) //nolint:gosec // to be repeatable
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

var (
	flips  = []string{"a bit of a record", "a bit of a record", "a bit of a page's header", "a bit of a page's table", "a bit of a meta page", "a bit of a bucket's name", "a bit anywhere"}
	others = []string{"a page zeroed", "a page as it once was", "two pages changed places", "cut off"}
)

// damage returns a damaged copy.
func (r *rotting) damage(rng *rand.Rand, kind string) (bad []byte, how string) {
	const page = 4096
	bad = bytes.Clone(r.base)
	leaf := func() int { // one that is, or once was, in use
		for {
			if at := rng.IntN(len(bad)/page) * page; at >= 2*page && (bad[at+8] == 1 || bad[at+8] == 2) {
				return at
			}
		}
	}
	at := 0
	switch kind {
	case "a bit of a record":
		at = leaf()
		at += page - 1 - rng.IntN(page-16-16*min(200, int(bad[at+10])))
	case "a bit of a page's header":
		at = leaf() + rng.IntN(16)
	case "a bit of a page's table":
		at = leaf()
		at += 16 + rng.IntN(16*max(1, min(200, int(bad[at+10]))))
	case "a bit of a meta page":
		at = rng.IntN(2)*page + rng.IntN(80)
	case "a bit of a bucket's name":
		names := []string{"subjects", "journal", "deliveries", "refs", "timers", "history", "registry"}
		name := []byte(names[rng.IntN(len(names))])
		var places []int
		for i := 0; ; i++ {
			j := bytes.Index(bad[i:], name)
			if j < 0 {
				break
			}
			i += j
			places = append(places, i)
		}
		at = places[rng.IntN(len(places))] + rng.IntN(len(name))
	case "a page zeroed":
		at = leaf()
		clear(bad[at : at+page])
		return bad, fmt.Sprintf("page %d zeroed", at/page)
	case "a page as it once was":
		for range 1000 {
			at = rng.IntN(min(len(bad), len(r.older))/page) * page
			if !bytes.Equal(bad[at:at+page], r.older[at:at+page]) {
				break
			}
		}
		copy(bad[at:at+page], r.older[at:at+page])
		return bad, fmt.Sprintf("page %d as it once was", at/page)
	case "two pages changed places":
		a, b := leaf(), leaf()
		copy(bad[a:a+page], r.base[b:b+page])
		copy(bad[b:b+page], r.base[a:a+page])
		return bad, fmt.Sprintf("pages %d and %d changed places", a/page, b/page)
	case "cut off":
		at = rng.IntN(len(bad))
		return bad[:at], fmt.Sprintf("cut off at %d", at)
	default:
		at = rng.IntN(len(bad))
	}
	bit := rng.IntN(8)
	bad[at] ^= 1 << bit
	return bad, fmt.Sprintf("bit %d of byte %d of page %d", bit, at%page, at/page)
}
