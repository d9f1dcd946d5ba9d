package main

import (
	"context"
	"net/netip"
	"sync"

	"countersign/ingest"
	"countersign/ingest/confirm"
	"countersign/relay/send"
	"countersign/signing"
)

// keepers look up the keys that providers publish, one for each source that needs it. Like the
// ingress they are started as soon as there is a journal, and before it.
type keepers struct {
	mu    sync.Mutex // guards the fields below
	all   map[string]*keeper
	begin func(*keeper) // gives one its goroutine; nil: run has not begun, or has ended
}

// keeper is one of them.
type keeper struct {
	of    confirm.Source
	keys  *confirm.Keys
	end   context.CancelFunc
	ended chan struct{} // closed when nothing is left of it; nil: it never began
}

// run lets them work until ctx ends.
func (k *keepers) run(ctx context.Context) error {
	var wg sync.WaitGroup
	k.mu.Lock()
	k.begin = func(one *keeper) {
		ctx, end := context.WithCancel(ctx)
		one.end, one.ended = end, make(chan struct{})
		wg.Go(func() {
			defer close(one.ended)
			_ = one.keys.Run(ctx) // it ends with ctx, and with nothing else
		})
	}
	for _, one := range k.all {
		k.begin(one)
	}
	k.mu.Unlock()
	<-ctx.Done()
	k.mu.Lock()
	k.begin = nil
	k.mu.Unlock()
	wg.Wait()
	return nil
}

// keepersPlan is who looks keys up after a reload: those that go on, and those that are new and
// have not begun.
type keepersPlan struct {
	k  *keepers
	to map[string]*keeper
}

// planKeys gives each source of a config whose provider publishes keys somebody who looks them up.
// Nothing has begun, and nothing has ended.
func (g *gateway) planKeys(cfg *Config, sources []ingest.Source) (keepersPlan, error) {
	p := keepersPlan{k: &g.keepers, to: map[string]*keeper{}}
	for i, sc := range cfg.Sources {
		asked, ok := apiSource(sc)
		if !ok || asked.API.Keys == nil {
			continue
		}
		if g.keyMetrics == nil {
			g.keyMetrics = confirm.NewKeyMetrics(g.metrics())
		}
		one := g.keepers.all[sc.Name]
		if one == nil || !one.of.Same(asked) {
			keys, err := confirm.NewKeys(confirm.KeysOptions{
				Source: asked, Store: publishedKeys{g.registry}, Control: send.Guard(cfg.Live(), cfg.EgressAllow), Logger: g.log, Metrics: g.keyMetrics,
			})
			if err != nil {
				return p, err
			}
			one = &keeper{of: asked, keys: keys}
		}
		p.to[sc.Name] = one
		sources[i].Proved, sources[i].KnownKeys = one.keys.Proved, one.keys.Known
		sources[i].KeysFor = func(ctx context.Context, h signing.Header, body []byte, client netip.Addr) (signing.Keyring, error) {
			return one.keys.For(ctx, confirm.Callback{Header: h, Body: body, Client: client})
		}
	}
	return p, nil
}

// start begins the work of those that are new, and returns what ends that of those that are not
// needed any more, when no callback comes to them.
func (p keepersPlan) start() (end func(*confirm.KeyMetrics)) {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	was := p.k.all
	p.k.all = p.to
	for name, one := range p.to {
		if was[name] != one && p.k.begin != nil {
			p.k.begin(one)
		}
	}
	return func(m *confirm.KeyMetrics) {
		for name, one := range was {
			if p.to[name] == one {
				continue
			}
			if one.ended != nil {
				one.end()
				<-one.ended
			}
			if p.to[name] == nil {
				m.Forget(name)
			}
		}
	}
}

// state lists the published keys of a source that are known.
func (k *keepers) state(source string) []confirm.KeyState {
	k.mu.Lock()
	one := k.all[source]
	k.mu.Unlock()
	if one == nil {
		return nil
	}
	return one.keys.State()
}
