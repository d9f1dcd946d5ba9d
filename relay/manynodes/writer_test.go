package manynodes

type phase int

const (
	reading    phase = iota // reads to the end, wherever that is by then
	committing              // commits
	serving                 // and takes changes
)

// registryWriter is a node in its part as the registry's writer.
type registryWriter struct {
	phase      phase
	member     int
	generation int
	until      int // readsFirst: offset to read to
	copy       *registryCopy
	worse      []entryKey // of what does not count any more: to be cleared
	newest     int        // version
	changes    int        // number of the newest change it knows
	asked      entry      // is produced, and not committed; no generation: there is none
	marks      []int      // partitions that lack the newest marker
	sent       entry      // what it has produced last
}

func (x *registryWriter) busy() bool {
	return x.phase != serving || x.asked.generation != 0 || len(x.marks)+len(x.worse) > 0
}

// hand gives the registry to another node, whose generation is committed first.
func (w *world) hand() {
	if x := w.writer; x != nil && (w.haunted || w.oneIn(2)) {
		w.oldWriters = append(w.oldWriters, x)
	}
	t := &w.topic
	t.member++
	t.taken++
	w.writer = &registryWriter{member: t.member, generation: t.taken, until: t.end, copy: newCopy()}
	if w.makes(readsFirst) { // the last records came between
		w.writer.until = max(0, t.end-2)
	}
}

// stepWriter lets a writer, or whoever thinks that it is one, do one thing; gone says that it has
// found out, or died.
func (w *world) stepWriter(x *registryWriter, mayDie bool) (gone bool) {
	dies := mayDie && w.oneIn(25)
	if x.sent.generation != 0 && mayDie && w.oneIn(8) { // it does not know whether that arrived
		w.produceEntry(x, x.sent)
		return dies
	}
	switch x.phase {
	case reading:
		w.readSome(x)
	case committing:
		if x.member != w.topic.member {
			return true
		}
		x.phase = serving
		if !w.makes(newestNotMarked) {
			x.markAll()
		}
	case serving:
		return w.serve(x) || dies
	}
	return dies
}

// produceEntry produces something under the writer's generation.
func (w *world) produceEntry(x *registryWriter, e entry) {
	e.generation = x.generation
	e.key = w.keyFor(e)
	x.sent = e
	w.topic.put(e)
}

// readSome reads on, and notes what does not count any more.
func (w *world) readSome(x *registryWriter) {
	for range 3 {
		old := x.copy.others
		if e, ok := w.read(x.copy); ok && !e.gone && e.name != theVersion {
			x.worsens(old[e.name], x.copy.others[e.name])
			x.worsens(e, x.copy.others[e.name])
		}
		if end := w.topic.end; x.copy.next >= end || x.copy.next >= x.until && w.makes(readsFirst) {
			w.endReading(x)
			return
		}
	}
}

// worsens notes that one record has another before it.
func (x *registryWriter) worsens(e, by entry) {
	if e.version != 0 && e.key != by.key {
		x.worse = append(x.worse, e.key)
	}
}

func (w *world) endReading(x *registryWriter) {
	x.phase = committing
	for v := range x.copy.bodies {
		x.newest = max(x.newest, v)
	}
	x.changes = x.newest % versionsOfOne
	for _, e := range x.copy.others {
		x.changes = max(x.changes, e.version%versionsOfOne)
	}
}

func (w *world) clearSome(x *registryWriter) {
	for range min(3, len(x.worse)) {
		w.topic.put(entry{gone: true, key: x.worse[0], generation: x.generation})
		x.worse = x.worse[1:]
	}
}

func (x *registryWriter) markAll() {
	x.marks = nil
	for p := range partitions {
		if x.newest != 0 {
			x.marks = append(x.marks, p)
		}
	}
}

// serve does what is next: it commits a change and answers, appends a marker, or clears.
func (w *world) serve(x *registryWriter) (gone bool) {
	switch {
	case x.asked.generation != 0:
		e := x.asked
		x.asked = entry{}
		if x.member != w.topic.member && !w.makes(answersBeforeCommit) {
			return true // whether that counts is not known
		}
		w.told(e)
		if e.name == theVersion {
			x.newest = e.version
			x.markAll()
			break
		}
		e.key = w.keyFor(e)
		x.worsens(x.copy.others[e.name], e)
		x.copy.others[e.name] = e
	case len(x.marks) > 0:
		w.markOne(x)
	default:
		w.clearSome(x)
	}
	return false
}

// markOne appends the newest marker to one more partition. Its version counts: the commit behind it
// was accepted.
func (w *world) markOne(x *registryWriter) {
	b := w.brokers[x.marks[0]]
	b.updates = append(b.updates, record{kind: marker, strand: -1, version: x.newest})
	x.marks = x.marks[1:]
}

// ask is an operator's change, at whoever thinks that it is the writer.
func (w *world) ask(x *registryWriter) {
	if x.phase != serving || x.asked.generation != 0 || x.changes == 20 {
		return
	}
	x.changes++
	x.asked = entry{name: w.dice.IntN(names), version: versionOf(x.generation, x.changes), generation: x.generation}
	if w.makes(marksBeforeCommit) && x.asked.name == theVersion {
		x.newest = x.asked.version
		x.markAll()
		w.markOne(x)
	}
	w.produceEntry(x, x.asked)
}

// told: an operator is told that a change is kept.
func (w *world) told(e entry) {
	kept := w.kept[e.name]
	if n := len(kept); n > 0 && kept[n-1] >= e.version {
		w.fail(changesRise, "name %d: %d after %d", e.name, e.version, kept[n-1])
	}
	w.kept[e.name] = append(kept, e.version)
}
