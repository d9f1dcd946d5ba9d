package stream

import (
	"bytes"
	"context"
	"fmt"
	"maps"
)

// worker is the following of one source.
type worker struct {
	end   context.CancelFunc
	ended chan struct{} // closed when nothing is left of it
}

// Plan is what another set of sources comes to. Working it out has changed nothing, and nothing of
// it can fail: first End, then Begin. One is carried out at a time.
type Plan struct {
	f   *Follower
	to  map[string]*source // as they will be
	end []string           // names of those that end, or go on as another account
}

// Plan works out what these sources come to in the place of those there are. One that is as it was
// goes on as if nothing had happened; one that is another account goes on behind what is on stable
// storage.
func (f *Follower) Plan(sources []Source) (*Plan, error) {
	p := &Plan{f: f, to: map[string]*source{}}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range sources {
		if was := f.sources[s.Name]; was != nil && was.given.same(s) {
			p.to[s.Name] = was
			continue
		}
		src, err := f.newSource(s)
		if err != nil {
			return nil, err
		}
		p.to[s.Name] = src
	}
	for name, s := range f.sources {
		if p.to[name] != s {
			p.end = append(p.end, name)
		}
	}
	return p, nil
}

// newSource completes one that can be followed.
func (f *Follower) newSource(s Source) (*source, error) {
	given := s
	if s.MaxEvent == 0 {
		s.MaxEvent = 1 << 20
	}
	switch {
	case s.Adapter.Stream == nil:
		return nil, fmt.Errorf("source %s: %s has no stream", s.Name, s.Adapter.Name)
	case s.secret() == nil:
		return nil, fmt.Errorf("source %s: its stream needs credentials: set api.user and api.key", s.Name)
	case s.Base == "":
		s.Base = s.Adapter.Stream.Base(s.Live)
	}
	return &source{Source: s, given: given, client: newClient(f.waits.answer, f.o.Control)}, nil
}

// same reports whether two are the same account, followed in the same way.
func (s *Source) same(other Source) bool {
	return s.Name == other.Name && s.Adapter.Name == other.Adapter.Name && s.Adapter.Version == other.Adapter.Version &&
		maps.Equal(s.Options, other.Options) && s.Base == other.Base && s.Live == other.Live && s.MaxEvent == other.MaxEvent &&
		s.Credentials.User == other.Credentials.User && bytes.Equal(s.secret(), other.secret())
}

// secret is for comparing; nil: there is none.
func (s *Source) secret() (secret []byte) {
	s.Credentials.Key.With(func(b []byte) { secret = bytes.Clone(b) })
	return secret
}

// End ends the following of those that are gone or are another account, and returns when nothing is
// left of it. What was taken and not saved comes again.
func (p *Plan) End() {
	var gone []worker
	p.f.mu.Lock()
	for _, name := range p.end {
		if w, ok := p.f.workers[name]; ok {
			w.end()
			delete(p.f.workers, name)
			gone = append(gone, w)
		}
	}
	p.f.mu.Unlock()
	for _, w := range gone {
		<-w.ended
	}
}

// Begin makes the sources what they will be, and begins to follow those that are new.
func (p *Plan) Begin() {
	f := p.f
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.sources
	f.sources = p.to
	for name := range was {
		if p.to[name] == nil {
			f.m.forget(name)
		}
	}
	for name, s := range p.to {
		if was[name] == s {
			continue
		}
		f.m.begin(name)
		if f.begin != nil {
			f.begin(name, s)
		}
	}
}
