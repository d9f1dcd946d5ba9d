package dispatch

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"countersign/outbox"
	"countersign/relay/registry"
)

// hit is one request as a partner saw it.
type hit struct {
	id, body   string
	header     http.Header
	at         time.Time
	start, end int // on one clock of whole numbers
	code       int
	try        int // of this id, from 1
}

// reply is what a partner answers.
type reply struct {
	code   int
	header http.Header
}

func ok(hit) reply { return reply{code: http.StatusOK} }

// far is the other side: a real server on loopback that keeps what it sees, and answers as it is
// told.
type far struct {
	*httptest.Server

	mu    sync.Mutex // guards the fields below
	hits  []hit
	tries map[string]int
	tick  int
}

func newFar(t *testing.T, answer func(hit) reply) *far {
	t.Helper()
	p := &far{tries: map[string]int{}}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		h := hit{id: r.Header.Get("Webhook-Id"), body: string(b), header: r.Header.Clone(), at: time.Now()}
		if h.id == "" {
			h.id = r.Header.Get("X-Blendfi-Event-Id")
		}
		p.mu.Lock()
		p.tries[h.id]++
		p.tick++
		h.try, h.start = p.tries[h.id], p.tick
		n := len(p.hits)
		p.hits = append(p.hits, h)
		p.mu.Unlock()
		a := answer(h)
		p.mu.Lock()
		p.tick++
		p.hits[n].end, p.hits[n].code = p.tick, a.code
		p.mu.Unlock()
		maps.Copy(w.Header(), a.header)
		w.WriteHeader(a.code)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *far) seen() []hit {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.hits)
}

// accepted is how many requests were answered 2xx.
func (p *far) accepted() (n int) {
	for _, h := range p.seen() {
		if h.code/100 == 2 {
			n++
		}
	}
	return n
}

// until waits for n requests.
func (p *far) until(t *testing.T, n int) []hit {
	t.Helper()
	eventually(t, fmt.Sprintf("the partner has seen %d requests", n), func() bool { return len(p.seen()) >= n })
	return p.seen()
}

// serving is a rig whose endpoints are these, of those that the rig's own is like.
func serving(t *testing.T, es ...registry.Endpoint) *rig {
	t.Helper()
	g := newRig(t, 1)
	for i := range es {
		like := g.endpoint(es[i].ID, es[i].URL)
		e := &es[i]
		if e.Format.Name == "" {
			e.Format = like.Format
		}
		if e.Keys == nil {
			e.Keys = like.Keys
		}
		if e.Timeout == 0 {
			e.Timeout = like.Timeout
		}
		if e.Retry == (registry.Retry{}) {
			e.Retry = registry.Retry{First: 2 * time.Millisecond, Factor: 1, Max: 2 * time.Millisecond, Attempts: 100}
		}
	}
	g.configure(es...)
	g.run()
	return g
}

// owesNothing waits until everything has been settled.
func (g *rig) owesNothing(endpoint string) {
	g.t.Helper()
	eventually(g.t, "nothing is owed to "+endpoint, func() bool { return g.outbox.Owed(endpoint) == 0 })
}

// after moves the clock and has the endpoints look again.
func (g *rig) after(d time.Duration, endpoints ...string) {
	g.clock.advance(d)
	for _, id := range endpoints {
		g.outbox.Release(outbox.Delivery{Endpoint: id}) // a lease that nobody has: its sender looks again at what is due
	}
}
