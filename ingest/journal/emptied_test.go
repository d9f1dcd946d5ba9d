package journal

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/outbox/store"
)

// A trim that empties the log and an append may share a group commit. bbolt v1.5.0's Cursor.Last
// never returns from a bucket emptied in the same transaction, which once stopped the writer for
// good under load.
func TestAppendAfterTrimInOneTransaction(t *testing.T) {
	s, err := store.Open(store.Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() { stop(); <-done; s.Close() }()
	j, err := NewBolt(Options{Store: s, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	body := fmt.Appendf(nil, `{"pad":"%s"}`, bytes.Repeat([]byte("x"), 1000))
	for range 50 {
		if err := j.Append(t.Context(), Record{Kind: kyc.Observation, Appended: time.Now(), Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	wait, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	rs := []Record{{Kind: kyc.Observation, Body: body}}
	err = s.Update(wait, func(tx *store.Tx) error {
		if err := j.forget(tx, 50, trimChunk); err != nil {
			return err
		}
		_, err := j.put(tx, rs, [][]byte{encode(rs[0])})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	batch, last, err := j.read(50)
	if err != nil || len(batch) != 1 || last != 51 {
		t.Errorf("read after the trim: %d records, last %d, %v", len(batch), last, err)
	}
}
