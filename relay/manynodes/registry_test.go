package manynodes

import "slices"

// What is here is the registry's topic: one partition, compacted, whose writer changes hands, and
// from which every node reads a copy.

// versionOf numbers changes: those of a later writer are greater.
func versionOf(generation, n int) int { return generation*versionsOfOne + n }

func generationOf(version int) int { return version / versionsOfOne }

const (
	versionsOfOne = 1000

	theVersion = 0 // a name; each version of it stays
	names      = 3 // of the others the newest counts
)

// entryKey has a writer's generation in it, so that compaction lets no writer take the place of
// another.
type entryKey struct{ name, version, generation int }

// entry is a record of the topic.
type entry struct {
	key        entryKey
	gone       bool // a tombstone
	name       int
	version    int // whoever made it is of generationOf(version)
	generation int // of whoever produced it
	offset     int
}

// registryTopic keeps the topic and the group's commit for it.
type registryTopic struct {
	entries       []entry // what compaction has left
	end           int
	member, taken int
}

// registryCopy is what a node has read of it.
type registryCopy struct {
	next   int          // offset
	bodies map[int]bool // by version
	others [names]entry
}

func newCopy() *registryCopy { return &registryCopy{bodies: map[int]bool{}} }

// later says that it has a version of a later writer.
func (c *registryCopy) later(version int) bool {
	for v := range c.bodies {
		if generationOf(v) > generationOf(version) {
			return true
		}
	}
	return false
}

// put appends a record.
func (t *registryTopic) put(e entry) {
	e.offset = t.end
	t.end++
	t.entries = append(t.entries, e)
}

// keyFor is a key for what a writer produces.
func (w *world) keyFor(e entry) entryKey {
	k := entryKey{name: e.name, generation: e.generation}
	if e.name == theVersion {
		k.version = e.version
	}
	if w.makes(keysWithoutGeneration) {
		k.version, k.generation = k.version%versionsOfOne, 0
	}
	return k
}

// read takes the next record into a copy: of one name that of the greatest generation counts, then
// the latest. false: there is none.
func (w *world) read(c *registryCopy) (e entry, ok bool) {
	i := slices.IndexFunc(w.topic.entries, func(e entry) bool { return e.offset >= c.next })
	if i < 0 {
		c.next = w.topic.end
		return entry{}, false
	}
	e = w.topic.entries[i]
	c.next = e.offset + 1
	switch {
	case e.gone: // what counts stands under another key
	case e.name == theVersion:
		c.bodies[e.version] = true
	case e.generation >= c.others[e.name].generation || w.makes(latestCounts):
		c.others[e.name] = e
	}
	return e, true
}

func (w *world) readOn(c *registryCopy) {
	for ok := true; ok; {
		_, ok = w.read(c)
	}
}

// compact takes some of what compaction may take: a record that is not the last of its key, and a
// tombstone that is the only one.
func (w *world) compact() {
	old := w.topic.entries
	w.topic.entries = slices.DeleteFunc(slices.Clone(old), func(e entry) bool {
		newer := slices.ContainsFunc(old, func(o entry) bool { return o.key == e.key && o.offset > e.offset })
		older := slices.ContainsFunc(old, func(o entry) bool { return o.key == e.key && o.offset < e.offset })
		return (newer || e.gone && !older) && w.oneIn(2)
	})
}

// happenRegistry is one thing that happens to the registry.
func (h *history) happenRegistry() {
	switch n := h.dice.IntN(100); {
	case n < 45:
		if h.stepWriter(h.writer, !h.quiet) {
			h.Faults++
			h.hand()
		}
	case n < 60 && len(h.oldWriters) > 0:
		i := h.dice.IntN(len(h.oldWriters))
		if h.oneIn(3) {
			h.ask(h.oldWriters[i])
		}
		if h.stepWriter(h.oldWriters[i], true) || h.oneIn(30) {
			h.oldWriters = slices.Delete(h.oldWriters, i, i+1)
		}
	case n < 80:
		c := h.copies[h.dice.IntN(relays)]
		for range 1 + h.dice.IntN(8) {
			h.read(c)
		}
	case n < 88:
		h.ask(h.writer)
	case n < 96:
		h.compact()
	case n < 99 && !h.quiet:
		h.Faults++
		h.hand()
	}
}

// settleRegistry lets the writer end what it does, and every node read it.
func (h *history) settleRegistry() {
	for i := 0; h.writer.busy(); i++ {
		if h.stepWriter(h.writer, false) {
			h.hand()
		}
		if i > mostFolds {
			h.fail(atRest, "the registry's writer is in phase %d", h.writer.phase)
			return
		}
	}
	for range 3 {
		h.compact()
	}
	for _, c := range h.copies {
		h.readOn(c)
	}
}

// checkRegistry: what an operator was told is kept is known to everybody, and to a node that begins
// now, and every partition has come to the newest version.
func (h *history) checkRegistry() {
	if !h.handed {
		return
	}
	fresh := newCopy()
	h.readOn(fresh)
	for _, c := range append(h.copies[:], fresh) {
		h.checkCopy(c, fresh)
	}
	for p, o := range h.owners {
		if kept := h.kept[theVersion]; o.file.version != h.writer.newest || len(kept) > 0 && o.file.version < kept[len(kept)-1] {
			h.fail(newestMarked, "partition %d has version %d of %d", p, o.file.version, h.writer.newest)
		}
	}
}

func (h *history) checkCopy(c, fresh *registryCopy) {
	for _, v := range h.kept[theVersion] {
		if !c.bodies[v] {
			h.fail(changesKept, "version %d", v)
		}
	}
	for name, kept := range h.kept {
		if name == theVersion {
			continue
		}
		if len(kept) > 0 && c.others[name].version < kept[len(kept)-1] || c.others[name].version != fresh.others[name].version {
			h.fail(changesKept, "name %d: %d, kept is %v, others have %d", name, c.others[name].version, kept, fresh.others[name].version)
		}
	}
}
