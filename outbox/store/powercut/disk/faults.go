package disk

import (
	"math/rand/v2"
	"slices"
	"syscall"
	"time"
)

// Call is a kind of call that can go wrong.
type Call string

// The calls that change something.
const (
	Write  Call = "write"
	Flush  Call = "flush" // fsync, fdatasync; of a directory too
	Grow   Call = "grow"  // ftruncate and fallocate that make a file longer
	Shrink Call = "shrink"
	Names  Call = "names" // create, mkdir, rename, unlink, rmdir
)

// Plan is what goes wrong, and when the power goes.
type Plan struct {
	Call     Call          `json:"call"`      // which calls; empty: only the power goes
	After    int           `json:"after"`     // so many of them succeed first
	Times    int           `json:"times"`     // so many go wrong then; 0: one; -1: all
	Errno    syscall.Errno `json:"errno"`     // 0: they succeed, late
	Part     bool          `json:"part"`      // of the first write half is written, and the rest fails
	Slow     time.Duration `json:"slow"`      // each takes so long
	Hang     bool          `json:"hang"`      // the first never ends
	CutAfter int           `json:"cut_after"` // calls of any kind after the first that went wrong, or from now on if none is to; negative: only Cut cuts
	Below    int64         `json:"below"`     // only calls upon files that reach beyond this offset and have something pending below it: bbolt's meta pages; 0: any
	Seed     uint64        `json:"seed"`
}

// faults is a plan under way.
type faults struct {
	plan  Plan
	armed bool
	hits  int
	cutIn int
	rest  syscall.Errno // of the rest of a write that was done in part
	rng   *rand.Rand
}

// fault is what happens to one call.
type fault struct {
	told  bool // the first that goes wrong, or another that fails
	errno syscall.Errno
	part  bool
	hang  bool
	cut   bool
	slow  time.Duration
}

// Arm replaces the plan.
func (d *Disk) Arm(p Plan) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p.Times == 0 {
		p.Times = 1
	}
	d.faults = faults{plan: p, armed: true, cutIn: -1, rng: rand.New(rand.NewPCG(p.Seed, 3))} //nolint:gosec // to be repeatable
	if p.Call == "" {
		d.faults.cutIn = p.CutAfter
	}
}

// next decides about a call.
func (f *faults) next(call Call, n *Node) (now fault) {
	if !f.armed {
		return now
	}
	if f.cutIn == 0 {
		return fault{cut: true}
	}
	if f.cutIn > 0 {
		f.cutIn--
	}
	if f.rest != 0 && call == Write {
		now.errno, f.rest = f.rest, 0
		return now
	}
	p := &f.plan
	if call != p.Call || p.Below > 0 && !n.pendingBelow(p.Below) {
		return now
	}
	if p.After > 0 {
		p.After--
		return now
	}
	if p.Times >= 0 && f.hits >= p.Times {
		return now
	}
	f.hits++
	now = fault{told: f.hits == 1 || p.Errno != 0, errno: p.Errno, slow: p.Slow, hang: p.Hang}
	if f.hits == 1 {
		f.cutIn = p.CutAfter
		if p.Part && call == Write {
			now.part, now.errno, f.rest = true, 0, p.Errno
		}
	}
	return now
}

func (n *Node) pendingBelow(offset int64) bool {
	return n != nil && int64(len(n.seen)) > offset && slices.ContainsFunc(n.pending, func(c change) bool { return c.data != nil && c.at < offset })
}

// lose is what a failed flush leaves: some of what it should have written is written, and nothing
// of the rest ever will be.
func (f *faults) lose(n *Node) {
	share := []float64{0, 0, 0.5, 1}[f.rng.IntN(4)]
	for _, c := range sectors(n.pending) {
		if f.rng.Float64() < share {
			n.durable = apply(n.durable, c)
		}
	}
	for _, m := range n.moves {
		if f.rng.Float64() < share {
			m.on(n.kept)
		}
	}
	n.pending, n.moves = nil, nil
}

// planned are the errnos that plans have.
var planned = map[syscall.Errno]string{0: "", syscall.EIO: "EIO", syscall.ENOSPC: "ENOSPC", syscall.EDQUOT: "EDQUOT"}

// name is how an errno is called.
func name(e syscall.Errno) string {
	if text, ok := planned[e]; ok {
		return text
	}
	return e.Error()
}
