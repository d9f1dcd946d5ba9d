package confirm

import (
	"context"
	"time"
)

// between is how long Run waits between two tries to fetch a key anew that could not be had.
const between = time.Minute

// load reads what was kept. A key that serves no more is asked for before it is used.
func (k *Keys) load() error {
	if k.o.Store == nil {
		return nil
	}
	kept, err := k.o.Store.Keys(k.s.Name)
	if err != nil {
		return err
	}
	for _, p := range kept {
		key, err := newKnownKey(p)
		if err != nil || len(k.known) >= maxKeys {
			continue
		}
		if now := k.now(); p.Fetched.After(now) { // the clock was set back: it is not as fresh as it says
			key.Fetched, key.again = now.Add(-keyHolds), now
		}
		k.known[p.ID] = key
	}
	return nil
}

// Run fetches keys anew that have had their day, looks up what was put off, and keeps what was
// found, until ctx ends.
func (k *Keys) Run(ctx context.Context) error {
	k.o.Metrics.begin(k.s.Name)
	for {
		wait := k.work(ctx)
		t := time.NewTimer(wait)
		select {
		case <-k.wake:
			t.Stop()
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			k.save(last)
			return nil
		}
	}
}

// work does what there is to do now, and returns how long until it should look again.
func (k *Keys) work(ctx context.Context) time.Duration {
	k.save(ctx)
	for _, kid := range k.overdue() {
		if ctx.Err() != nil {
			break
		}
		k.refresh(ctx, kid)
	}
	wait := between
	for ctx.Err() == nil {
		k.mu.Lock()
		if len(k.fair.turns) == 0 {
			k.mu.Unlock()
			break
		}
		if !k.fair.late.AllowN(k.now(), 1) {
			k.mu.Unlock()
			wait = time.Second / (2 * lateLookUps)
			break
		}
		kid := k.fair.next()
		l := k.asks[kid]
		mine := l == nil && k.known[kid] == nil
		if mine {
			l = &lookUp{done: make(chan struct{})}
			k.asks[kid] = l
		}
		k.mu.Unlock()
		if mine {
			k.lookUp(ctx, kid, l)
		}
	}
	k.save(ctx)
	return wait
}

// overdue are the keys that somebody needs and that are to be fetched anew.
func (k *Keys) overdue() (ids []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for kid, known := range k.known {
		if known.due && !k.now().Before(known.again) {
			known.due, known.again = false, k.now().Add(between)
			ids = append(ids, kid)
		}
	}
	return ids
}

// refresh fetches a key anew. One that cannot be had goes on serving, for a bounded time; one that
// the provider has ended does not.
func (k *Keys) refresh(ctx context.Context, kid string) {
	l := &lookUp{done: make(chan struct{})}
	k.lookUp(ctx, kid, l)
	if l.err != nil && ctx.Err() == nil {
		k.o.Logger.Warn("key_not_renewed", "source", k.s.Name, "error", l.err, "remedy", "the key is used for seven days after it was fetched; check that the provider's API answers")
	}
}

// save tells the store what has changed. What cannot be kept is looked up again after the next
// start, no more.
func (k *Keys) save(ctx context.Context) {
	k.mu.Lock()
	dirty := k.dirty
	k.dirty = nil
	k.mu.Unlock()
	for i, write := range dirty {
		err := write(ctx)
		if ctx.Err() != nil { // stopping: what is left is told once more, for the last time; to tell the store twice does no harm
			k.mu.Lock()
			k.dirty = append(dirty[i:], k.dirty...)
			k.mu.Unlock()
			return
		}
		if err != nil {
			k.o.Logger.Warn("published_key_not_stored", "source", k.s.Name, "error", err)
		}
	}
}
