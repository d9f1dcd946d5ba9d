package attack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Bounds of the floods.
const (
	hostile    = 10_000    // connections
	holders    = 800       // that hold a megabyte each
	mostMemory = 256 << 20 // of the gateway, in bytes, whatever happens
	mostTLS    = 320 << 20 // the same, where each connection has the buffers of TLS
	answerIn   = time.Second
	lastAnswer = 5 * time.Second // what a provider waits
)

type floodCase struct {
	name string
	run  func(ctx context.Context, t *Target, s *Section, name string) error
}

// floods are what many strangers do at once. Each judges what became of those who are none.
var floods = []floodCase{
	{"10,000 connections", connections},
	{"5,000 connections of one address", oneAddress},
	{"800 that hold a megabyte", holding},
	{"forged callbacks of a source with a rate", forged},
	{"a wrong signature among requests for nobody", hiddenMismatch},
	{"key ids that nobody has", unknownKeys},
	{"2,000 wrong tokens", wrongTokens},
	{"400 calls of a partner with a megabyte each", partnerCalls},
}

// Floods are many strangers, and a few who are not.
func Floods(ctx context.Context, t *Target) (*Section, error) {
	return flood(ctx, t, &Section{Name: "floods"}, floods, mostMemory)
}

// FloodsTLS are those of connections, where each costs a handshake and the memory of TLS too.
func FloodsTLS(ctx context.Context, t *Target) (*Section, error) {
	return flood(ctx, t, &Section{Name: "floods, TLS"}, floods[:3], mostTLS)
}

func flood(ctx context.Context, t *Target, s *Section, all []floodCase, bound int64) (*Section, error) {
	for _, f := range all {
		s.Tried++
		if err := forgetMost(t.PID); err != nil {
			return nil, err
		}
		if err := f.run(ctx, t, s, f.name); err != nil {
			return nil, err
		}
		top, now, err := memory(t.PID)
		if err != nil {
			return nil, err
		}
		s.note("%s: the gateway had at most %d MiB in RAM, and has %d", f.name, top>>20, now>>20)
		if top > bound {
			s.fault("%s: the gateway had %d MiB in RAM; the bound is %d", f.name, top>>20, bound>>20)
		}
	}
	return s, t.settled(ctx, "after-the-floods")
}

// beside sends genuine callbacks, each over a connection of its own, and judges how soon they were
// answered.
func (t *Target) beside(ctx context.Context, s *Section, name string, n int) {
	var slow []time.Duration
	for i := range n {
		g, err := NewGenuine("open", fmt.Sprintf("beside-%s-%d", strings.ReplaceAll(name, " ", "-"), i), false)
		if err != nil {
			s.fault("%s: %v", name, err)
			return
		}
		began := time.Now()
		x, err := t.say(ctx, g.request())
		took := time.Since(began)
		if err != nil || !slices.Equal(x.statuses, taken) {
			s.fault("%s: a genuine callback beside it: %v, %v after %s", name, x.statuses, err, took)
		}
		slow = append(slow, took)
		pause(ctx, 50*time.Millisecond)
	}
	slices.Sort(slow)
	worst := slow[len(slow)-1]
	s.note("%s: of %d genuine callbacks beside it the slowest was answered after %s, half within %s", name, n, worst.Round(time.Millisecond), slow[n/2].Round(time.Microsecond))
	if late := len(slow) - len(within(slow, answerIn)); late > 1 || worst > lastAnswer { // one may have met a busy machine
		s.fault("%s: %d of %d genuine callbacks took over %s, the slowest %s", name, late, n, answerIn, worst)
	}
}

func within(sorted []time.Duration, d time.Duration) []time.Duration {
	return sorted[:len(sorted)-len(slices.DeleteFunc(slices.Clone(sorted), func(x time.Duration) bool { return x <= d }))]
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// connections: ten thousand of a thousand addresses, each with another unfinished request.
func connections(ctx context.Context, t *Target, s *Section, name string) error {
	return t.crowded(ctx, s, name, hostile, unfinished(), from)
}

// oneAddress: the same from a single address, which others must not suffer for.
func oneAddress(ctx context.Context, t *Target, s *Section, name string) error {
	return t.crowded(ctx, s, name, 5000, unfinished(), func(int) *net.Dialer { return from(7) })
}

// holding: connections that send all of a megabyte but its last byte.
func holding(ctx context.Context, t *Target, s *Section, name string) error {
	all := unfinished()
	return t.crowded(ctx, s, name, holders, all[6:7], from)
}

func (t *Target) crowded(ctx context.Context, s *Section, name string, n int, texts [][]byte, dialer func(int) *net.Dialer) error {
	var c crowd
	defer c.leave()
	done := make(chan error, 1)
	go func() {
		done <- each(n, 64, func(i int) error {
			c.join(ctx, t, dialer(i), texts[rand.IntN(len(texts))]) //nolint:gosec // no secret
			return nil
		})
	}()
	t.beside(ctx, s, name, 10) // while they come
	if err := <-done; err != nil {
		return err
	}
	t.beside(ctx, s, name+" at once", 20)
	s.note("%s: %d of %d are open", name, c.open(), n)
	status, _, err := t.call(ctx, http.MethodGet, "/healthz", "", "")
	if err != nil || status != http.StatusOK {
		s.fault("%s: /healthz: %d, %v", name, status, err)
	}
	return nil
}

// forged: callbacks with wrong signatures must not use up what the source may send.
func forged(ctx context.Context, t *Target, s *Section, name string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	sent := make([]int, 4)
	for w := range sent {
		wg.Go(func() {
			for ctx.Err() == nil {
				sent[w] += stream(ctx, from(w), t.Callbacks, forgery("seldom"), 100)
			}
		})
	}
	for i := range 10 {
		g, err := NewGenuine("seldom", fmt.Sprintf("seldom-%d", i), false)
		if err != nil {
			return err
		}
		x, err := t.say(ctx, g.request())
		if err != nil || !slices.Equal(x.statuses, taken) {
			s.fault("%s: a genuine one beside them: %v, %v", name, x.statuses, err)
		}
		pause(ctx, 400*time.Millisecond)
	}
	cancel()
	wg.Wait()
	n := 0
	for _, k := range sent {
		n += k
	}
	s.note("%s: %d forged ones beside 10 genuine ones", name, n)
	return nil
}

func forgery(source string) string {
	return "POST /v1/callbacks/" + source + " HTTP/1.1\r\nHost: gateway\r\nX-Payload-Digest-Alg: HMAC_SHA256_HEX\r\nX-Payload-Digest: " + strings.Repeat("0", 64) +
		"\r\nContent-Length: 2\r\n\r\n{}"
}

// stream sends a request n times over one connection, each when the last is answered, and returns
// how many were.
func stream(ctx context.Context, d *net.Dialer, addr, text string, n int) (answered int) {
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return 0
	}
	defer nc.Close()                                      //nolint:errcheck // read as far as it goes
	defer context.AfterFunc(ctx, func() { nc.Close() })() //nolint:errcheck,gosec // it is cut
	nc.SetDeadline(time.Now().Add(patience))              //nolint:errcheck,gosec // a bound
	r := bufio.NewReader(nc)
	for range n {
		if _, err := io.WriteString(nc, text); err != nil {
			return answered
		}
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return answered
		}
		answered++
		_, err = io.Copy(io.Discard, res.Body)
		if errors.Join(err, res.Body.Close()) != nil || res.Close {
			return answered
		}
	}
	return answered
}

// hiddenMismatch: a flood of requests for sources that are not there must not keep a wrong
// signature out of the log.
func hiddenMismatch(ctx context.Context, t *Target, s *Section, name string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				stream(ctx, from(w), t.Callbacks, "GET /nobody HTTP/1.1\r\nHost: gateway\r\n\r\n", 1)
			}
		})
	}
	pause(ctx, 500*time.Millisecond)
	x, err := t.say(ctx, forgery("small"))
	if err != nil || x.first() != http.StatusUnauthorized {
		s.fault("%s: answered %v, %v", name, x.statuses, err)
	}
	pause(ctx, 500*time.Millisecond)
	cancel()
	wg.Wait()
	n, err := t.logged(`"source":"small","verdict":"mismatch"`)
	if err != nil {
		return err
	}
	s.note("%s: %d lines of the log name it", name, n)
	if n == 0 {
		s.fault("%s: it is not in the log", name)
	}
	return nil
}

// logged counts the lines of the gateway's log that hold a text.
func (t *Target) logged(text string) (n int, err error) {
	b, err := os.ReadFile(filepath.Join(t.Dir, "gateway.log"))
	return strings.Count(string(b), text), err
}

// wrongTokens: guesses must be refused, slowed down, and lock nobody out.
func wrongTokens(ctx context.Context, t *Target, s *Section, name string) error {
	counts := map[int]int{}
	var mu sync.Mutex
	err := each(2000, 8, func(i int) error {
		status, _, err := t.call(ctx, http.MethodGet, "/v1/quarantine", fmt.Sprintf("cs_%064x", i), "")
		mu.Lock()
		defer mu.Unlock()
		counts[status]++
		if i%100 != 0 {
			return err
		}
		for path, tok := range map[string]string{"/healthz": "", "/v1/quarantine": t.Token} {
			if status, _, err := t.call(ctx, http.MethodGet, path, tok, ""); err != nil || status != http.StatusOK {
				s.fault("%s: %s beside them: %d, %v", name, path, status, err)
			}
		}
		return err
	})
	s.note("%s: %d × 401, %d × 429", name, counts[401], counts[429])
	if counts[401]+counts[429] != 2000 || counts[429] == 0 {
		s.fault("%s: answered %v, want 401 and, of most, 429", name, counts)
	}
	return err
}

// partnerCalls: what a partner is refused must not fill the file, nor stop anything.
func partnerCalls(ctx context.Context, t *Target, s *Section, name string) error {
	size := func() int64 {
		fi, err := os.Stat(filepath.Join(t.Dir, "data", "countersign.db"))
		if err != nil {
			return 0
		}
		return fi.Size()
	}
	before := size()
	counts := map[int]int{}
	var mu sync.Mutex
	big := strings.Repeat("a", 1<<20-2000)
	err := each(400, 4, func(i int) error {
		body := fmt.Sprintf(`{"%d-%s":1}`, i, big)
		if i%2 == 0 {
			body = fmt.Sprintf(`{"source":"%s","provider_ref":"r-%d","subject":"u"}`, big, i)
		}
		status, _, err := t.call(ctx, http.MethodPost, "/v1/submissions", token("paula"), body)
		mu.Lock()
		defer mu.Unlock()
		counts[status]++
		return err
	})
	grown := size() - before
	s.note("%s: answered %v, the file grew by %d KiB", name, counts, grown>>10)
	if grown > 8<<20 {
		s.fault("%s: they made the file %d MiB larger", name, grown>>20)
	}
	for status := range counts {
		if status < 400 || status >= 500 {
			s.fault("%s: answered %v", name, counts)
		}
	}
	return err
}
