package forward

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
	"countersign/outbox/store"
)

// The two topics. Updates are claims, as providers and operators made them; changes are what was
// decided.
const (
	UpdatesTopic = "kyc.status-updates"
	ChangesTopic = "kyc.status-changes"
)

// Feed is a durable queue of what goes to one topic, in order. A place in it is a position of one
// log; places grow, and several entries may share one. A Forwarder is its only reader.
type Feed interface {
	// Next returns entries after a place in order, all of a place together, and the place up to
	// which it has looked. It waits until there is something, or until ctx ends: then it returns
	// the place it was given.
	Next(ctx context.Context, after journal.Position) ([]Entry, journal.Position, error)
	// Pass is called in the transaction that keeps how far the forwarder is: nothing up to this
	// place will be asked for again.
	Pass(tx *store.Tx, upTo journal.Position) error
	// Waiting is how many entries there are after a place, and when the first of them was taken in;
	// zero: none.
	Waiting(after journal.Position) (n int64, since time.Time)
}

// Entry is one message of a Feed.
type Entry struct {
	Place   journal.Position
	Group   string // entries of one group that follow each other in a partition go there in one batch; "": it stands alone
	Message *Message
}

// Event is what the headers of a message say of it: CloudEvents 1.0 in Kafka's binary mode.
type Event struct {
	ID          string
	Type        string
	Source      string    // the name of the source; "": the gateway itself
	Subject     string    // partner/subject; "": not known yet
	Key         string    // what decides the partition
	At          time.Time // when it happened; zero: unknown
	Taken       time.Time // when we took it
	Traceparent string
}

// Message makes the Kafka record of an event. The message refers to value.
func (e *Event) Message(value []byte) *Message {
	source := "/gateway"
	if e.Source != "" {
		source = "/sources/" + e.Source
	}
	// One piece of memory for all: there is one of these for every event.
	b := make([]byte, 0, len(e.ID)+len(e.Type)+len(source)+len(e.Subject)+len(e.Key)+len(e.Traceparent)+len(time.RFC3339Nano)+4)
	hs := make([]Header, 2, 8)
	hs[0], hs[1] = Header{"ce_specversion", specVersion}, Header{"content-type", contentType}
	put := func(name, s string) {
		if s == "" {
			return
		}
		from := len(b)
		b = append(b, s...)
		hs = append(hs, Header{name, b[from:len(b):len(b)]})
	}
	put("ce_id", e.ID)
	put("ce_source", source)
	put("ce_type", e.Type)
	put("ce_subject", e.Subject)
	if !e.At.IsZero() {
		from := len(b)
		b = e.At.UTC().AppendFormat(b, time.RFC3339Nano)
		hs = append(hs, Header{"ce_time", b[from:len(b):len(b)]})
	}
	put("traceparent", e.Traceparent)
	from := len(b)
	b = append(b, e.Key...)
	return &Message{Key: b[from:len(b):len(b)], Value: value, Headers: hs, Time: e.Taken}
}

var specVersion, contentType = []byte("1.0"), []byte("application/json")

// SubjectKey names a person, as ce_subject has it: a partner's id has no slash. "": it is nobody.
func SubjectKey(partner, subject string) string {
	if partner == "" || subject == "" {
		return ""
	}
	return partner + "/" + subject
}

// Keys is what keeps records together that belong together: a key is a person's, or a ref's, for
// good, and with it their partition. The zero Keys knows of no renamed partner and of no ref.
type Keys struct {
	// Kept is the id that a partner is kept under, by any id that it has or had: whoever is renamed
	// keeps the keys of its people. Nil: nobody was.
	Kept func(partner string) string
	// Ref is the ref by which the person of an update is found that does not say whose it is; "":
	// it has none. Nil: none has.
	Ref func(*kyc.Update) string
}

// Subject is a person's key; "": it is nobody's.
func (k Keys) Subject(partner, subject string) string {
	if k.Kept != nil && partner != "" {
		partner = k.Kept(partner)
	}
	return SubjectKey(partner, subject)
}

// of keeps a person's records together, and those about nobody known yet by the provider's ref.
func (k Keys) of(u *kyc.Update) string {
	if key := k.Subject(u.Partner, u.Subject.ID); key != "" {
		return key
	}
	if k.Ref != nil {
		if ref := k.Ref(u); ref != "" {
			return u.Source + "|" + ref
		}
	}
	return u.ID
}

// message makes the Kafka record of a journal record, whose body it is.
func (k Keys) message(r *journal.Record, u *kyc.Update) *Message {
	e := Event{
		ID: u.ID, Type: "kyc.update." + string(u.Kind), Source: u.Source, Subject: SubjectKey(u.Partner, u.Subject.ID),
		At: u.OccurredAt, Taken: r.Appended, Traceparent: u.Traceparent,
	}
	if e.At.IsZero() {
		e.At = u.ReceivedAt
	}
	e.Key = k.of(u)
	return e.Message(r.Body)
}

// updateOf is what a record says.
func updateOf(r *journal.Record) (*kyc.Update, error) {
	if r.Update != nil {
		return r.Update, nil
	}
	u := new(kyc.Update)
	return u, json.Unmarshal(r.Body, u)
}

// Log is the journal, as Updates reads it.
type Log interface {
	// Read returns records after a position in order, and the position up to which it has looked.
	// It waits until there is something, or until ctx ends: then it returns the position it was
	// given.
	Read(ctx context.Context, after journal.Position) ([]journal.Record, journal.Position, error)
	// Waiting is how many records there are after a position, and when the first of them was
	// appended; zero: none, or unknown.
	Waiting(after journal.Position) (n int64, since time.Time)
	// PassOver notes that nothing could be made of a record.
	PassOver(at journal.Position)
}

// updates is the journal as a Feed: its places are those of the records.
type updates struct {
	Log
	keys Keys
}

// Updates is the journal as it goes to UpdatesTopic: every record of every kind.
func Updates(l Log, k Keys) Feed { return updates{l, k} }

// Next implements Feed.
func (f updates) Next(ctx context.Context, after journal.Position) ([]Entry, journal.Position, error) {
	batch, last, err := f.Read(ctx, after)
	if err != nil || last == after {
		return nil, after, err
	}
	return f.entries(batch), last, nil
}

func (f updates) entries(batch []journal.Record) []Entry {
	es := make([]Entry, 0, len(batch))
	for i := range batch {
		r := &batch[i]
		u, err := updateOf(r)
		if err != nil {
			f.PassOver(r.Position)
			continue
		}
		es = append(es, Entry{Place: r.Position, Group: u.Callback.ID, Message: f.keys.message(r, u)})
	}
	return es
}

// Pass implements Feed. Trim asks the forwarder itself how far it is.
func (f updates) Pass(*store.Tx, journal.Position) error { return nil }

// TooLargeItem is what the quarantine keeps of a record that is larger than Kafka takes. It has
// been, or will be, applied all the same. Its header Topic says where it was to go.
func TooLargeItem(topic string, m *Message, at time.Time) journal.Item {
	var about struct {
		Source, Provider string
		Check            struct{ Source, Provider string }
	}
	_ = json.Unmarshal(m.Value, &about) // an update says it of itself, a change of the check that decides it
	return journal.Item{
		ID: quarantineID(topic, m), Source: cmp.Or(about.Source, about.Check.Source), Provider: cmp.Or(about.Provider, about.Check.Provider), Reason: journal.Oversized,
		Detail: "larger than the broker's max.message.bytes", At: at.UTC(), Headers: map[string][]string{"Topic": {topic}}, Body: m.Value,
	}
}

// quarantineID names a record that was too large in lists of the quarantine.
func quarantineID(topic string, m *Message) string {
	_, stream, _ := strings.Cut(topic, "-") // updates, changes
	return "kafka_" + stream + "_" + m.header("ce_id")
}

func (m *Message) header(name string) string {
	for i := range m.Headers {
		if m.Headers[i].Name == name {
			return string(m.Headers[i].Value)
		}
	}
	return ""
}
