package outbox

import "context"

// hold notes that so many more are claimed.
func (b *Outbox) hold(more int) {
	if more == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count(more)
}

// count is hold, for whoever holds mu.
func (b *Outbox) count(more int) {
	if b.claimed += more; b.claimed == 0 && b.returned != nil {
		close(b.returned)
		b.returned = nil
	}
}

// Returned waits until whoever claimed deliveries has settled or released each of them. What was
// settled may not be on disk then: Flush waits for that.
func (b *Outbox) Returned(ctx context.Context) error {
	b.mu.Lock()
	if b.claimed == 0 {
		b.mu.Unlock()
		return nil
	}
	if b.returned == nil {
		b.returned = make(chan struct{})
	}
	returned := b.returned
	b.mu.Unlock()
	select {
	case <-returned:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
