package confirm

import (
	"bytes"
	"context"
	"fmt"
	"maps"

	"golang.org/x/time/rate"
)

// worker is the asking of one source.
type worker struct {
	end   context.CancelFunc
	ended chan struct{} // closed when nothing is left of it
}

// Plan is what another set of sources comes to. Working it out has changed nothing, and nothing of
// it can fail: first End, then Begin. One is carried out at a time.
type Plan struct {
	c   *Confirmer
	to  map[string]*source // as they will be
	end []string           // names of those that end, or go on as another account
}

// Plan works out what these sources come to in the place of those there are. One that is as it was
// goes on as if nothing had happened.
func (c *Confirmer) Plan(sources []Source) (*Plan, error) {
	p := &Plan{c: c, to: map[string]*source{}}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range sources {
		if was := c.sources[s.Name]; was != nil && was.given.Same(s) {
			p.to[s.Name] = was
			continue
		}
		src, err := newSource(s, c.o.Control)
		if err != nil {
			return nil, err
		}
		p.to[s.Name] = src
	}
	for name, s := range c.sources {
		if p.to[name] != s {
			p.end = append(p.end, name)
		}
	}
	return p, nil
}

// newSource completes one. One that is asked needs an address.
func newSource(s Source, control Control) (*source, error) {
	given := s
	if s.Rate == 0 {
		s.Rate = 5
	}
	if s.Timeout == 0 {
		s.Timeout = defaultTimeout
	}
	if s.Base == "" {
		s.Base = s.API.Base(s.Live)
	}
	if s.Base == "" && s.canAsk() {
		return nil, fmt.Errorf("source %s: this provider gives each account an address of its own: set api.url", s.Name)
	}
	return &source{
		Source: s, given: given, client: newClient(s.Timeout, control),
		limit: rate.NewLimiter(rate.Limit(s.Rate), max(1, int(s.Rate))),
	}, nil
}

// Same reports whether two are the same account, asked in the same way.
func (s Source) Same(other Source) bool {
	return s.Name == other.Name && s.API == other.API && maps.Equal(s.Options, other.Options) &&
		s.Base == other.Base && s.Live == other.Live && s.Rate == other.Rate && s.Timeout == other.Timeout &&
		s.Credentials.User == other.Credentials.User && bytes.Equal(s.secret(), other.secret())
}

// secret is for comparing.
func (s *Source) secret() (secret []byte) {
	s.Credentials.Key.With(func(b []byte) { secret = bytes.Clone(b) })
	return secret
}

// End ends the asking of those that are gone or are another account, and returns when nothing is
// left of it. What was being asked stays open: it is asked again when somebody can.
func (p *Plan) End() {
	var gone []worker
	p.c.mu.Lock()
	for _, name := range p.end {
		if w, ok := p.c.workers[name]; ok {
			w.end()
			delete(p.c.workers, name)
			gone = append(gone, w)
		}
	}
	p.c.mu.Unlock()
	for _, w := range gone {
		<-w.ended
	}
}

// Begin makes the sources what they will be, and begins to ask those that are new.
func (p *Plan) Begin() {
	c := p.c
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.sources
	c.sources = p.to
	for name, s := range was {
		if p.to[name] == nil {
			c.m.forget(name)
		}
		if p.to[name] != s {
			s.client.CloseIdleConnections()
		}
	}
	for name, s := range p.to {
		if was[name] == s {
			continue
		}
		c.m.begin(s)
		if c.begin != nil {
			c.begin(name, s)
		}
	}
}
