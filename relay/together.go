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

// together takes off the records that one callback brought: they stand one after another. One that
// cannot be read is put aside by itself, and the others stay together.
func (b *batch) together(records []journal.Record) (said []saying, n int, err error) {
	var id string
	for i := range records {
		rec := &records[i]
		r := saying{rec: rec}
		if rec.Update != nil {
			r.u = *rec.Update
		} else if json.Unmarshal(rec.Body, &r.u) != nil {
			if i > 0 && id == "" {
				return said, i, nil
			}
			b.r.o.Logger.Error("record_unreadable", "offset", rec.Position.Offset)
			if err := b.keep(unroutedRecord{Record: *rec}, nil); err != nil {
				return nil, 0, err
			}
			if id == "" {
				return nil, 1, nil
			}
			continue
		}
		r.u.Partner = b.r.kept(r.u.Partner)
		if i > 0 && (id == "" || r.u.Callback.ID != id) {
			return said, i, nil
		}
		id = r.u.Callback.ID
		said = append(said, r)
	}
	return said, len(records), nil
}
