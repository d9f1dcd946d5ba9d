package relay

import (
	"encoding/json"

	"countersign/ingest/journal"
	"countersign/kyc"
)

// saying is a record and what it says.
type saying struct {
	rec *journal.Record
	u   kyc.Update // routed: whose it is has been filled in
}

// together takes off the records that one callback brought: they stand one after another, in one
// batch, where the log is written in batches. One that
// cannot be read is put aside by itself, and the others stay together.
//
// What it returns is used again by the next call.
func (b *batch) together(records []journal.Record) (said []saying, n int, err error) {
	var id string
	b.said = b.said[:0]
	for i := range records {
		if i > 0 && (id == "" || records[i].Batch != records[0].Batch) {
			return b.said, i, nil
		}
		rec, at := &records[i], len(b.said)
		b.said = append(b.said, saying{rec: rec})
		u := &b.said[at].u
		if rec.Update != nil {
			*u = *rec.Update
		} else if json.Unmarshal(rec.Body, u) != nil {
			b.said = b.said[:at]
			b.r.o.Logger.Error("record_unreadable", "offset", rec.Position.Offset)
			if err := b.keep(unroutedRecord{Record: *rec}, nil); err != nil {
				return nil, 0, err
			}
			if id == "" {
				return nil, 1, nil
			}
			continue
		}
		if i > 0 && u.Callback.ID != id {
			return b.said[:at], i, nil
		}
		id, u.Partner = u.Callback.ID, b.partner(u.Partner).kept
	}
	return b.said, len(records), nil
}
