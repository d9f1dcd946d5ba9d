package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
)

// Export finds everything that is kept of one person, and returns what writes it as one JSON
// object; outbox.ErrNotFound: nothing is kept. open opens a body in quarantine; nil: bodies are
// named only. It is written in bounded memory, and read in many small transactions: what changes
// meanwhile may be there as it was or as it is.
func (r *Relay) Export(ctx context.Context, partner, id string, livemode bool, open func(id string) (journal.Item, error)) (write func(io.Writer) error, err error) {
	begun := r.o.Now().UTC()
	w, err := r.locate(ctx, partner, id, livemode)
	if err != nil {
		return nil, err
	}
	w.open = open
	return func(out io.Writer) error { return w.export(ctx, out, begun) }, nil
}

// exportVersion is the version of what Export writes. It may grow; what is there stays.
const exportVersion = 1

func (w *whereabouts) export(ctx context.Context, out io.Writer, begun time.Time) error {
	var b bytes.Buffer
	flush := func() error {
		_, err := b.WriteTo(out)
		return err
	}
	begin, err := json.Marshal(map[string]any{
		"object": "subject_export", "version": exportVersion, "partner": w.r.shown(w.partner), "id": w.id, "livemode": w.live, "begun_at": begun,
	})
	if err != nil {
		return err
	}
	b.Write(begin[:len(begin)-1])
	b.WriteString(`,"kept":{`)
	nothing, elsewhere := map[string]string{}, map[string]string{}
	all := keepers()
	for i, sections := 0, 0; i < len(all); i++ {
		k := &all[i]
		if k.nobody != "" {
			nothing[k.bucket.String()] = k.nobody
			continue
		}
		if k.owner != "" {
			elsewhere[k.bucket.String()] = k.owner
			continue
		}
		if sections++; sections > 1 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:[", k.section)
		if err := w.section(ctx, k, &b, flush); err != nil {
			return fmt.Errorf("export, %s: %w", k.section, err)
		}
		b.WriteByte(']')
	}
	end, err := json.Marshal(map[string]any{"nothing_in": nothing, "elsewhere": elsewhere, "ended_at": w.r.o.Now().UTC()})
	if err != nil {
		return err
	}
	b.WriteString("},")
	b.Write(end[1:])
	b.WriteByte('\n')
	return flush()
}

// section writes what one bucket keeps. What opens a body does so between transactions.
func (w *whereabouts) section(ctx context.Context, k *keeper, b *bytes.Buffer, flush func() error) error {
	var found []any
	n := 0
	return w.each(ctx, k, func(key, v []byte) error {
		shown := any(damagedEntry{bytes.Clone(key)})
		if v != nil {
			shown = k.show(w, key, v)
		}
		if shown != nil {
			found = append(found, shown)
		}
		return nil
	}, func() error {
		for _, shown := range found {
			if item, ok := shown.(*keptItem); ok {
				w.opens(item)
			}
			text, err := json.Marshal(shown)
			if err != nil {
				return err
			}
			if n++; n > 1 {
				b.WriteByte(',')
			}
			b.WriteByte('\n')
			b.Write(text)
		}
		found = found[:0]
		return flush()
	})
}

// damagedEntry stands for a record that cannot be read.
type damagedEntry struct {
	Key []byte `json:"damaged_key"`
}

// asJSON shows a record that is JSON itself.
func asJSON(_ *whereabouts, _, v []byte) any {
	if !json.Valid(v) {
		return struct {
			Bytes []byte `json:"bytes"`
		}{v}
	}
	return json.RawMessage(bytes.Clone(v))
}

// showState is where the person stands, and all that the state is made of, as it is on disk.
func (w *whereabouts) showState(_, v []byte) any {
	s := &subject{lane: w.lane}
	if s.decode(v) != nil {
		return damagedEntry{[]byte(w.lane)}
	}
	return struct {
		Status  kyc.View          `json:"status"`
		Checks  []kyc.CheckState  `json:"checks"`
		Why     []kyc.Standing    `json:"why"`
		Policy  int               `json:"policy_version"`
		Owed    map[string]uint64 `json:"owed,omitempty"`   // by endpoint: the last sequence that came to be owed
		Trusts  []string          `json:"trusts,omitempty"` // endpoints that were told of an approval that has not ended
		Refs    int               `json:"submissions,omitempty"`
		Encoded []byte            `json:"encoded"`
	}{s.State.View(), s.State.Checks(), s.State.Why(w.r.policyOf(s)), s.Policy, s.Owed.all(), s.Trusts, s.Refs, bytes.Clone(v)}
}

// showRef shows what is known of a ref, and of the claims only the person's own: who the others are
// is theirs.
func (w *whereabouts) showRef(k, v []byte) any {
	s := readStrand(v, nil)
	l := s.leads()
	own := slices.DeleteFunc(slices.Clone(s.claims), func(c claim) bool { return c.Lane != w.lane })
	if l.lane != w.lane {
		l.submitted, l.served = slices.ContainsFunc(own, func(c claim) bool { return c.Registered }), false
	}
	source, ref, live := splitRef(string(k[len(strandPrefix):]))
	return struct {
		Source     string  `json:"source"`
		Ref        string  `json:"ref"`
		Livemode   bool    `json:"livemode"`
		Leads      bool    `json:"leads"` // to the person
		Registered bool    `json:"registered"`
		Served     bool    `json:"served"`
		Contested  bool    `json:"contested"`
		Decided    bool    `json:"decided,omitempty"` // an operator has said that it is theirs
		Claims     []claim `json:"claims,omitempty"`
	}{source, ref, live, l.lane == w.lane, l.submitted, l.served, l.contested, s.decided == w.lane, own}
}

func (w *whereabouts) showTold(k, v []byte) any {
	endpoint, ok := splitDelivered(k)
	d := &delivered{}
	if !ok || d.decode(v) != nil {
		return nil
	}
	return struct {
		Endpoint string    `json:"endpoint"`
		Accepted uint64    `json:"accepted"`
		At       time.Time `json:"accepted_at"`
	}{endpoint, d.sequence, time.UnixMicro(d.last).UTC()}
}

func (w *whereabouts) showHistory(k, v []byte) any {
	_, body, ok := entry(v)
	if ok && k[historyHead-1] == kindChange {
		var c kyc.Change
		if readChange(body, &c) {
			return map[string]json.RawMessage{"change": c.AppendJSON(nil)}
		}
	}
	if !ok || !json.Valid(body) {
		return damagedEntry{bytes.Clone(k)}
	}
	return map[string]json.RawMessage{"record": bytes.Clone(body)}
}

func (w *whereabouts) showOutcome(k, v []byte) any {
	o, ok := readOutcome(k, v)
	if !ok {
		return damagedEntry{bytes.Clone(k)}
	}
	return o
}

func (w *whereabouts) showTimer(k, _ []byte) any {
	at, _ := splitTimer(k)
	return struct {
		At time.Time `json:"at"`
	}{time.UnixMicro(at).UTC()}
}

// showUnrouted shows what waits. Of a ref that several claim only the person's own claim: who the
// others are is theirs.
func (w *whereabouts) showUnrouted(k, v []byte) any {
	switch k[0] {
	case 'h', 'd':
		if len(v) == 0 {
			return nil // it stands elsewhere, whole
		}
		_, at, _ := waitsAt(k)
		h := readUnrouted(at, v)
		return struct {
			ID string `json:"id"`
			unroutedRecord
		}{unroutedID(h.Position), *h}
	case 'g':
		return map[string]json.RawMessage{"given": bytes.Clone(v)}
	case 'c':
		if c := w.contests[string(k[len(contestKey("")):])]; c != nil {
			return map[string]any{"contested": c}
		}
	case 'n':
		source, ref, _ := splitRef(string(k[len(refusedMark(w.lane, "")):]))
		return map[string]any{"refused": map[string]string{"source": source, "ref": ref}}
	}
	return nil
}

func (w *whereabouts) showForward(_, v []byte) any { return w.changes(v) }

func (w *whereabouts) showRecord(k, v []byte) any {
	rec, ok := journal.ReadRecord(k, v)
	if !ok {
		return damagedEntry{bytes.Clone(k)}
	}
	return struct {
		Offset int64           `json:"offset"`
		At     time.Time       `json:"at"`
		Update json.RawMessage `json:"update"`
	}{rec.Position.Offset, rec.Appended, rec.Body}
}

func (w *whereabouts) showQuestion(k, v []byte) any {
	if _, own, ok := journal.ReadQuestion(k); !ok || !own {
		return nil
	}
	return asJSON(w, k, v)
}

// keptItem is a body in quarantine, opened if somebody can.
type keptItem struct {
	journal.ItemView
	Headers map[string][]string `json:"headers,omitempty"`
	Body    []byte              `json:"body,omitempty"`
	Sealed  bool                `json:"sealed,omitempty"` // nobody could open it here
}

func (w *whereabouts) showItem(k, v []byte) any {
	view, ok := journal.ReadItem(v)
	if !ok {
		return damagedEntry{bytes.Clone(k)}
	}
	return &keptItem{ItemView: view}
}

func (w *whereabouts) opens(k *keptItem) {
	if k.Sealed = !k.BodyGone; w.open == nil || k.BodyGone {
		return
	}
	if item, err := w.open(k.ID); err == nil {
		k.Sealed, k.Headers, k.Body = false, item.Headers, item.Body
	}
}

func (w *whereabouts) showDamaged(k, v []byte) any {
	return struct {
		Key    []byte `json:"key"`
		Record []byte `json:"record"`
	}{bytes.Clone(k), bytes.Clone(v)}
}
