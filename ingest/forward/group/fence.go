package group

import (
	"sync"
	"sync/atomic"
	"time"
)

// fenceMargin is for clocks that do not run alike, and for what is begun and not done at once.
const fenceMargin = 3 * time.Second

// FenceOptions say for how long an answer of the group counts.
type FenceOptions struct {
	Session time.Duration        // after which the group replaces a member that is silent
	Margin  time.Duration        // how much earlier the fence passes; 0: 3 s
	Clock   func() time.Duration // nil: BootTime
}

// Fence says whether this process may still act as an owner. It asks nobody: the group may have
// replaced us and be unable to say so. It passes a session after the last heartbeat that was
// answered, less a margin; after that was sent, not answered: the group counts from when it arrived,
// which is between the two. A Fence is safe for concurrent use.
type Fence struct {
	o     FenceOptions
	until atomic.Int64 // nanoseconds of Clock; 0: shut

	mu         sync.Mutex
	generation int32 // of the group's assignment that counts; negative: none
}

// NewFence returns one that is shut.
func NewFence(o FenceOptions) *Fence {
	if o.Margin == 0 {
		o.Margin = fenceMargin
	}
	if o.Clock == nil {
		o.Clock = BootTime
	}
	return &Fence{o: o, generation: -1}
}

// Session is FenceOptions.Session.
func (f *Fence) Session() time.Duration { return f.o.Session }

// Now is what the fence's clock says.
func (f *Fence) Now() time.Duration { return f.o.Clock() }

// Open reports whether an owner may act. It costs a look at the clock.
func (f *Fence) Open() bool { return int64(f.o.Clock()) < f.until.Load() }

// Begin says which of the group's assignments counts from here on. The fence stays shut until it is
// extended.
func (f *Fence) Begin(generation int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.generation = generation
	f.until.Store(0)
}

// Extend counts a heartbeat of an assignment that was answered, from the instant of Now at which it
// was sent. It does nothing for another assignment than that which began last, and for one that has
// ended.
func (f *Fence) Extend(generation int32, sent time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	until := int64(sent + f.o.Session - f.o.Margin)
	if f.generation >= 0 && generation == f.generation && until > f.until.Load() {
		f.until.Store(until)
	}
}

// End shuts the fence, if that assignment is the one that counts.
func (f *Fence) End(generation int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if generation == f.generation {
		f.shut()
	}
}

// Shut shuts the fence, whichever assignment counts: from here on Open is false, until another one
// begins and is extended.
func (f *Fence) Shut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shut()
}

func (f *Fence) shut() {
	f.generation = -1
	f.until.Store(0)
}
