package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"
)

// answer is what a partner does with one delivery. The zero answer is 200, at once.
type answer struct {
	code       int // 0: none, see hang and reset
	retryAfter int // seconds; 0: not said
	hang       bool
	reset      bool
	delay      time.Duration
}

// clause is one misbehaviour and how likely it is.
type clause struct {
	answer
	p float64
}

// behaviour is how a partner answers. Safe for concurrent use.
type behaviour struct {
	clauses   []clause
	failFirst int // how often each delivery fails before anything else is considered

	mu       sync.Mutex // guards the fields below
	rng      *rand.Rand
	failures map[string]int // by webhook-id, while it still fails
}

// parseBehaviour reads clauses separated by ";":
//
//	ok | 500:P | 503:P[,retry-after=N] | 429:P[,retry-after=N] | hang:P | reset:P | redirect:P | slow=DUR:P | fail-first=N
//
// Any code from 200 to 599 may stand in place of 500. The probabilities add up to 1 at most; the
// rest is answered 200.
func parseBehaviour(spec string, seed uint64) (*behaviour, error) {
	b := &behaviour{rng: rand.New(rand.NewPCG(seed, 1)), failures: map[string]int{}} //nolint:gosec // to be repeatable
	total := 0.0
	for text := range strings.SplitSeq(spec, ";") {
		text = strings.TrimSpace(text)
		if text == "" || text == "ok" {
			continue
		}
		if n, ok := strings.CutPrefix(text, "fail-first="); ok {
			times, err := strconv.Atoi(n)
			if err != nil || times < 1 {
				return nil, fmt.Errorf("behaviour %q: a number of failures is expected", text)
			}
			b.failFirst = times
			continue
		}
		c, err := parseClause(text)
		if err != nil {
			return nil, fmt.Errorf("behaviour %q: %w", text, err)
		}
		total += c.p
		b.clauses = append(b.clauses, c)
	}
	if total > 1+1e-9 {
		return nil, fmt.Errorf("behaviour %q: the probabilities add up to %g", spec, total)
	}
	return b, nil
}

func parseClause(text string) (c clause, err error) {
	head, param, hasParam := strings.Cut(text, ",")
	what, p, ok := strings.Cut(head, ":")
	if !ok {
		return c, errors.New("it has no probability")
	}
	if c.p, err = strconv.ParseFloat(p, 64); err != nil || !(c.p >= 0 && c.p <= 1) {
		return c, errors.New("a probability from 0 to 1 is expected after the colon")
	}
	dur, slow := strings.CutPrefix(what, "slow=")
	switch {
	case what == "hang":
		c.hang = true
	case what == "reset":
		c.reset = true
	case what == "redirect":
		c.code = 302
	case slow:
		c.code = 200
		if c.delay, err = time.ParseDuration(dur); err != nil || c.delay <= 0 {
			return c, errors.New("slow needs a duration such as slow=200ms")
		}
	default:
		if c.code, err = strconv.Atoi(what); err != nil || c.code < 200 || c.code > 599 {
			return c, errors.New("neither ok, a code, hang, reset, redirect, slow=DURATION nor fail-first=N")
		}
	}
	if hasParam {
		n, ok := strings.CutPrefix(param, "retry-after=")
		if c.retryAfter, err = strconv.Atoi(n); !ok || err != nil || c.retryAfter < 0 {
			return c, errors.New("retry-after=SECONDS is expected after the comma")
		}
	}
	return c, nil
}

// answer decides what this delivery gets.
func (b *behaviour) answer(id string) answer {
	if b == nil || b.failFirst == 0 && len(b.clauses) == 0 {
		return answer{code: 200}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failFirst > 0 {
		if b.failures[id] < b.failFirst {
			b.failures[id]++
			return answer{code: 500}
		}
		delete(b.failures, id)
	}
	if len(b.clauses) == 0 {
		return answer{code: 200}
	}
	roll := b.rng.Float64()
	for i := range b.clauses {
		if roll -= b.clauses[i].p; roll < 0 {
			return b.clauses[i].answer
		}
	}
	return answer{code: 200}
}
