package manynodes

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// world is what all nodes share, and the nodes. Nothing in it runs by itself: each step of a
// history makes one thing happen.
type world struct {
	conditions
	dice     *rand.Rand
	brokers  [partitions]*broker
	files    [relays][partitions]*file
	owners   [partitions]*owner
	holders  [partitions]int // the relay of each owner
	zombies  []*owner
	first    map[lane][]delivery // in order of first receipt
	received map[delivery]int    // of each order
	registry int                 // its newest version, where it never changes hands
	erasures map[int]erased      // by person: the last
	handing
	failure *failure
}

// handing is the registry where it changes hands.
type handing struct {
	topic      registryTopic
	copies     [relays]*registryCopy
	writer     *registryWriter
	oldWriters []*registryWriter
	kept       [names][]int  // what operators were told is kept, in order
	versions   map[place]int // under which each record was folded
}

type place struct{ partition, offset int }

// lane is one person at one endpoint.
type lane struct{ person, endpoint int }

// check names what a history is held to.
type check string

type failure struct {
	check  check
	detail string
}

func newWorld(seed uint64, c conditions) *world {
	w := &world{conditions: c, dice: rand.New(rand.NewPCG(seed, 1)), first: map[lane][]delivery{}, received: map[delivery]int{}}
	for p := range partitions {
		w.brokers[p] = newBroker()
		for i := range relays {
			w.files[i][p] = newFile()
		}
		w.move(p)
	}
	w.erasures = map[int]erased{}
	if c.handed {
		w.versions = map[place]int{}
		for i := range relays {
			w.copies[i] = newCopy()
		}
		w.hand()
	}
	return w
}

// fail keeps the first failure.
func (w *world) fail(c check, format string, args ...any) {
	if w.failure == nil {
		w.failure = &failure{c, fmt.Sprintf(format, args...)}
	}
}

func (w *world) oneIn(n int) bool { return w.dice.IntN(n) == 0 }

// receive is the partner.
func (w *world) receive(d delivery) {
	l := lane{d.person, d.endpoint}
	if !slices.ContainsFunc(w.first[l], func(o delivery) bool { return o.number == d.number && o.change == d.change }) {
		w.first[l] = append(w.first[l], d)
	}
	w.received[d]++
}

// pick draws one of the strands of a file that are wanted.
func (w *world) pick(f *file, want func(state) bool) (strand int, ok bool) {
	var wanted []int
	for k, s := range f.strands {
		if want(s) {
			wanted = append(wanted, k)
		}
	}
	if len(wanted) == 0 {
		return 0, false
	}
	slices.Sort(wanted)
	return wanted[w.dice.IntN(len(wanted))], true
}
