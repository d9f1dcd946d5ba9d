package main

import (
	"bytes"
	"context"
	crand "crypto/rand"
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
	ExpectFailure bool   `help:"For a gateway that is broken on purpose: exit 0 only if somebody was told something wrong, or not told without a word; it ends when that is seen."`
}

// Bounds of one life.
const (
	rotPersons = 12
	rotMemory  = 256 << 20   // bytes of the gateway; the process that reads the file for it has a bound of its own
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

// rotting is the base that every life is a damaged copy of, and what a partner is told in a life
// without damage.
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
			for n := int(next.Add(1)) - 1; n < len(plan) && errs[i] == nil && ctx.Err() == nil && (!c.ExpectFailure || !rep.harmed()); n = int(next.Add(1)) - 1 {
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

// harmed reports whether anybody was: a gateway that is broken on purpose need not harm more.
func (r *rotReport) harmed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.faults) > 0
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
	if r.older, err = os.ReadFile(filepath.Join(dir, rotDatabase)); err != nil { //nolint:gosec // written by the gateway
		return err
	}
	if err := p.close(); err != nil {
		return err
	}
	if err := stage(2, 4, false); err != nil {
		return err
	}
	if r.base, err = os.ReadFile(filepath.Join(dir, rotDatabase)); err != nil { //nolint:gosec // as above
		return err
	}
	for _, name := range []string{"countersign.key", "operator.token"} {
		if r.files[name], err = os.ReadFile(filepath.Join(dir, "data", name)); err != nil { //nolint:gosec // as above
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

const rotDatabase = "data/countersign.db"

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
	s, got := r.setup(dir, "127.0.0.1:0"), &listening{}
	p, err := got.start(ctx, s)
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	s.partner = p.addr()
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
	if err := os.WriteFile(filepath.Join(dir, rotDatabase), database, 0o600); err != nil {
		return l, err
	}
	began := time.Now()
	if err := g.start(ctx); err != nil {
		return l, err
	}
	readyErr := g.ready(ctx)
	l.ready = time.Since(began)
	if readyErr == nil {
		r.use(ctx, g, s, &l)
	} else {
		l.refused = true
	}
	err = g.end()
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
	l.memory = peak(g.pid())
	if _, err := g.stop(); err != nil {
		l.faults = append(l.faults, err.Error())
	}
}

// setAside asks the gateway whom it has set aside.
func (g *gateway) setAside(ctx context.Context) map[string]bool {
	var v struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if g.call(ctx, http.MethodGet, "/v1/set-aside?limit=1000", "", &v) != nil {
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
	for try := 1; err == nil && l.refused && try < 4 && strings.Contains(l.said, "address already in use"); try++ { // somebody else has taken the port meanwhile
		dir = filepath.Join(r.c.Dir, fmt.Sprintf("life-%05d-%d", n, try))
		l, err = r.live(ctx, dir, bad)
	}
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
