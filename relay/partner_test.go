package relay

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"countersign/signing"
)

// hit is one request as a partner saw it.
type hit struct {
	id, body   string
	header     http.Header
	at         time.Time
	start, end int // on one clock of whole numbers
	code       int // 0: none was given
	try        int // of this id, from 1
}

// reply is what a partner does with a request.
type reply struct {
	code   int
	header http.Header
	text   string
	hang   bool // says nothing until the caller hangs up or the test ends
	reset  bool // breaks the connection
}

// partner is the far side: a real server on loopback that keeps what it sees.
type partner struct {
	*httptest.Server
	released chan struct{} // closed: nothing hangs any more
	free     func()

	mu     sync.Mutex // guards the fields below
	answer func(h hit) reply
	hits   []hit
	tries  map[string]int
	tick   int
}

func newPartner(t *testing.T, answer func(h hit) reply) *partner {
	t.Helper()
	p := &partner{released: make(chan struct{}), tries: map[string]int{}, answer: answer}
	p.free = sync.OnceFunc(func() { close(p.released) })
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(func() {
		p.free()
		p.Close()
	})
	return p
}

func ok(hit) reply { return reply{code: http.StatusOK} }

func always(code int) func(hit) reply { return func(hit) reply { return reply{code: code} } }

// first answers code to the first n tries of each delivery, then 200.
func first(n, code int) func(hit) reply {
	return func(h hit) reply {
		if h.try <= n {
			return reply{code: code}
		}
		return ok(h)
	}
}

// from sets how the partner answers from now on.
func (p *partner) from(answer func(h hit) reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

func (p *partner) serve(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	h := hit{id: r.Header.Get("Webhook-Id"), body: string(b), header: r.Header.Clone(), at: time.Now()}
	if h.id == "" {
		h.id = r.Header.Get("X-Blendfi-Event-Id")
	}
	p.mu.Lock()
	p.tries[h.id]++
	p.tick++
	h.try, h.start = p.tries[h.id], p.tick
	answer := p.answer
	n := len(p.hits)
	p.hits = append(p.hits, h)
	p.mu.Unlock()
	a := answer(h)
	p.mu.Lock()
	p.tick++
	p.hits[n].end = p.tick
	if !a.hang && !a.reset {
		p.hits[n].code = a.code
	}
	p.mu.Unlock()
	switch {
	case a.hang:
		select {
		case <-r.Context().Done():
		case <-p.released:
		}
	case a.reset:
		if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
	default:
		maps.Copy(w.Header(), a.header)
		w.WriteHeader(a.code)
		_, _ = io.WriteString(w, a.text)
	}
}

// seen is what the partner has seen so far.
func (p *partner) seen() []hit {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.hits)
}

// accepted are the hits that were answered 2xx.
func (p *partner) accepted() (hs []hit) {
	for _, h := range p.seen() {
		if h.code/100 == 2 {
			hs = append(hs, h)
		}
	}
	return hs
}

// until waits for n requests.
func (p *partner) until(t *testing.T, n int) []hit {
	t.Helper()
	eventually(t, fmt.Sprintf("the partner has seen %d requests", n), func() bool { return len(p.seen()) >= n })
	return p.seen()
}

// endpoint is one URL of this partner, which is told everything and is tried again at once.
func (p *partner) endpoint(id string, set ...func(*Endpoint)) Endpoint {
	e := Endpoint{
		ID: id, URL: p.URL + "/kyc", Format: standard, Keys: []Key{{Key: mainKey}}, Events: []string{"*"}, Concurrency: 8, Timeout: 10 * time.Second,
		MaxOwed: 1_000_000, Retry: Schedule{First: 2 * time.Millisecond, Factor: 1, Max: 2 * time.Millisecond, Attempts: 100},
	}
	for _, fn := range set {
		fn(&e)
	}
	return e
}

func only(events ...string) func(*Endpoint) { return func(e *Endpoint) { e.Events = events } }

func attempts(n int) func(*Endpoint) { return func(e *Endpoint) { e.Retry.Attempts = n } }

// hourly is tried again after an hour only.
func hourly(e *Endpoint) { e.Retry.First, e.Retry.Max = time.Hour, time.Hour }

// expected is one delivery that must have arrived.
type expected struct{ lane, id, body string }

// judge is the order checker: it compares what a partner saw with what it was owed, in the order of
// each lane, and returns what is wrong. It knows nothing of the relay. A delivery counts as arrived
// with its first 2xx.
func judge(hits []hit, owed []expected) (wrong []string) {
	say := func(text string, args ...any) { wrong = append(wrong, fmt.Sprintf(text, args...)) }
	byID := map[string]expected{}
	lanes := map[string][]string{}
	for _, e := range owed {
		byID[e.id] = e
		lanes[e.lane] = append(lanes[e.lane], e.id)
	}
	arrived := map[string][]string{}
	known := map[string]bool{}
	for _, h := range hits {
		e, ok := byID[h.id]
		switch {
		case !ok:
			say("invented: %s %s", h.id, h.body)
		case e.body != h.body:
			say("altered: %s\n got %s\nwant %s", h.id, h.body, e.body)
		}
		if h.code/100 == 2 && !known[h.id] {
			known[h.id] = true
			arrived[e.lane] = append(arrived[e.lane], h.id)
		}
	}
	for lane, ids := range lanes {
		for _, id := range ids {
			if !known[id] {
				say("lost: %s of %s", id, lane)
			}
		}
		if got := arrived[lane]; len(got) == len(ids) && !slices.Equal(got, ids) {
			say("out of order in %s:\n got %v\nwant %v", lane, got, ids)
		}
	}
	return wrong
}

// overlaps finds lanes with two requests at the partner at one time.
func overlaps(hits []hit, owed []expected) (wrong []string) {
	lane := map[string]string{}
	for _, e := range owed {
		lane[e.id] = e.lane
	}
	busy := map[string]hit{} // by lane: the request that ends last
	for _, h := range hits { // in order of start
		b, ok := busy[lane[h.id]]
		if ok && h.start < b.end {
			wrong = append(wrong, fmt.Sprintf("two in flight in %s: %s and %s", lane[h.id], b.id, h.id))
		}
		if !ok || h.end > b.end {
			busy[lane[h.id]] = h
		}
	}
	return wrong
}

// signedBy reports whether a hit's signatures hold under exactly this key.
func signedBy(e Endpoint, h hit, k signing.Key, now time.Time) bool {
	return e.Format.Scheme.Verify(h.header, []byte(h.body), signing.Keyring{k}, now) == nil
}

func (p *partner) check(t *testing.T, owed []expected) {
	t.Helper()
	for _, w := range judge(p.seen(), owed) {
		t.Error(w)
	}
}
