package outbox

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"countersign/outbox/store"
)

func TestDeliveryCodec(t *testing.T) {
	f := func(d Delivery) {
		t.Helper()
		v := store.RecordBody(encodeDelivery(&d))
		got := Delivery{Endpoint: d.Endpoint, Lane: d.Lane, Sequence: d.Sequence}
		if err := decodeDelivery(v, &got); err != nil || !reflect.DeepEqual(got, d) {
			t.Errorf("decoded %+v, %v; want %+v", got, err, d)
		}
		if n := len(got.Body); n > 0 {
			v[len(v)-1]++
			if got.Body[n-1] != d.Body[n-1] {
				t.Error("the body is a part of the record, which does not outlive its transaction")
			}
		}
	}
	f(change("a", "x", 3))
	f(change("a", "x", 1<<63+5))
	forced := change("a", "x", 1)
	forced.Force, forced.Restrictive, forced.Order = true, true, 1<<62+7
	f(forced)
	forced.Anew, forced.Restrictive = true, false
	f(forced)
	f(Delivery{Endpoint: "a", Lane: "x", Owed: time.UnixMilli(0).UTC(), Received: time.Time{}.UTC(), WebhookID: strings.Repeat("w", 255)})
}

func TestHeadCodec(t *testing.T) {
	f := func(h head) {
		t.Helper()
		if got, ok := decodeHead(h.encode()); !ok || got != h {
			t.Errorf("decoded %+v, %v; want %+v", got, ok, h)
		}
	}
	f(head{})
	f(head{seq: 1<<64 - 1, failures: 1<<16 - 1, first: base.UnixMilli()})
	for _, v := range [][]byte{nil, {}, make([]byte, 17), make([]byte, 19)} {
		if h, ok := decodeHead(v); ok || h != (head{}) {
			t.Errorf("%d bytes: %+v, %v", len(v), h, ok)
		}
	}
}

// The due index orders by endpoint, then by time, whatever the lanes are called.
func TestKeysOrder(t *testing.T) {
	keys := [][]byte{
		dueKey("a", urgentFresh, 5, "z"), dueKey("a", urgentFresh, 6, "a"), dueKey("a", urgentFresh, 255, "a"), dueKey("a", urgentFresh, 256, "a"),
		dueKey("a", urgentFailed, 1, "a"), dueKey("a", plainFresh, 0, "a"), dueKey("a", plainFailed, 0, "a"), placeKey("a", ""), dueKey("a-b", urgentFresh, 1, "a"), dueKey("b", urgentFresh, 0, ""),
	}
	for i := 1; i < len(keys); i++ {
		if bytes.Compare(keys[i-1], keys[i]) >= 0 {
			t.Errorf("%q does not come before %q", keys[i-1], keys[i])
		}
	}
	if isOfLane(deliveryKey("a", "xy", 1), laneKey("a", "x")) || !isOfLane(deliveryKey("a", "x", 0), laneKey("a", "x")) || isOfLane(nil, laneKey("a", "x")) {
		t.Error("lanes are mixed up")
	}
}

func TestID(t *testing.T) {
	f := func(id, webhookID, endpoint string, ok bool) {
		t.Helper()
		if w, e, got := SplitID(id); w != webhookID || e != endpoint || got != ok {
			t.Errorf("SplitID(%q) = %q, %q, %v", id, w, e, got)
		}
		if d := (Delivery{WebhookID: webhookID, Endpoint: endpoint}); ok && d.ID() != id {
			t.Errorf("ID = %q, want %q", d.ID(), id)
		}
	}
	f("evt_1@acme-main", "evt_1", "acme-main", true)
	f("damaged-acme/u@example.com-3@acme-main", "damaged-acme/u@example.com-3", "acme-main", true)
	f("evt_1", "evt_1", "", false)
	f("", "", "", false)
}

func FuzzDecodeDelivery(f *testing.F) {
	d := change("a", "x", 3)
	f.Add(store.RecordBody(encodeDelivery(&d)))
	f.Add(make([]byte, bareAt))
	f.Add(append(make([]byte, bareAt), 255, 'x'))
	f.Fuzz(func(t *testing.T, b []byte) {
		var d, again Delivery
		if decodeDelivery(b, &d) != nil {
			return
		}
		if err := decodeDelivery(store.RecordBody(encodeDelivery(&d)), &again); err != nil || !reflect.DeepEqual(again, d) {
			t.Errorf("%+v is read back as %+v, %v", d, again, err)
		}
	})
}

func FuzzDecodeHead(f *testing.F) {
	f.Add(head{seq: 1, failures: 2, first: 3}.encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, ok := decodeHead(b); ok && !bytes.Equal(h.encode(), b) {
			t.Errorf("%x is read as %+v", b, h)
		}
	})
}

func FuzzSplitDead(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x11" + `{"has_body":true}` + "body"))
	f.Add([]byte{0, 0, 0, 2, '{', '}'})
	f.Add([]byte{255, 255, 255, 255})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, body, err := splitDead(b)
		if err == nil && (len(body) > len(b) || !d.HasBody && body != nil) {
			t.Errorf("%+v with %d bytes out of %d", d, len(body), len(b))
		}
	})
}
