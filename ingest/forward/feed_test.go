package forward

import (
	"cmp"
	"context"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/kyc"
)

// What an update's message says of it, and what keeps a person's together.
func TestMessage(t *testing.T) {
	taken, happened := someTime, someTime.Add(-time.Hour)
	keys := Keys{
		Kept: func(partner string) string { return map[string]string{"acme-ltd": "acme"}[partner] },
		Ref:  func(u *kyc.Update) string { return cmp.Or(u.Subject.ProviderRef, u.Verification.Ref) },
	}
	f := func(u kyc.Update, key string, headers map[string]string) {
		t.Helper()
		r := journal.Record{Kind: u.Kind, Appended: taken, Body: []byte("{}")}
		m := keys.message(&r, &u)
		headers["ce_specversion"], headers["content-type"] = "1.0", "application/json"
		if string(m.Key) != key || string(m.Value) != "{}" || !m.Time.Equal(taken) || len(m.Headers) != len(headers) {
			t.Errorf("%+v: key %q, value %q, %d headers, want key %q and %d", u, m.Key, m.Value, len(m.Headers), key, len(headers))
		}
		for name, want := range headers {
			if got := m.header(name); got != want {
				t.Errorf("%+v: %s is %q, want %q", u, name, got, want)
			}
		}
	}
	ann := kyc.Update{ID: "01J", Kind: kyc.Observation, Source: "sumsub-eu", Partner: "acme-ltd", Subject: kyc.Subject{ID: "a/nn", ProviderRef: "p"}, ReceivedAt: taken}
	f(ann, "acme/a/nn", map[string]string{
		"ce_id": "01J", "ce_type": "kyc.update.observation", "ce_source": "/sources/sumsub-eu", "ce_subject": "acme-ltd/a/nn", "ce_time": "2026-03-19T09:20:00.123456Z",
	})
	ann.OccurredAt, ann.Traceparent, ann.Kind = happened.In(time.FixedZone("", 3600)), "00-1-2-01", kyc.Confirmation
	f(ann, "acme/a/nn", map[string]string{
		"ce_id": "01J", "ce_type": "kyc.update.confirmation", "ce_source": "/sources/sumsub-eu", "ce_subject": "acme-ltd/a/nn", "ce_time": "2026-03-19T08:20:00.123456Z", "traceparent": "00-1-2-01",
	})
	unknown := kyc.Update{ID: "02J", Kind: kyc.FetchRequest, Source: "jumio", Partner: "acme", Verification: kyc.Verification{Ref: "s-1"}, Subject: kyc.Subject{ProviderRef: "p-1"}}
	f(unknown, "jumio|p-1", map[string]string{"ce_id": "02J", "ce_type": "kyc.update.fetch", "ce_source": "/sources/jumio"})
	unknown.Subject.ProviderRef = ""
	f(unknown, "jumio|s-1", map[string]string{"ce_id": "02J", "ce_type": "kyc.update.fetch", "ce_source": "/sources/jumio"})
	f(kyc.Update{ID: "03J", Kind: kyc.Timer}, "03J", map[string]string{"ce_id": "03J", "ce_type": "kyc.update.timer", "ce_source": "/gateway"})
}

// Every record goes out as it stands in the journal, whether it is still in memory or read again
// from the file; one that is no update is passed over (I8).
func TestUpdatesFeed(t *testing.T) {
	r := startRig(t, "", journal.Options{})
	var want []journal.Record
	for n := range 5 {
		want = append(want, update(n, 0))
	}
	mustAppend(t, r, want...)
	mustAppend(t, r, journal.Record{Kind: kyc.Timer, Appended: someTime, Body: []byte(`[]`)})
	mustAppend(t, r, update(5, 0))
	want = append(want, update(5, 0))
	f := func(feed Feed, r *rig) {
		t.Helper()
		var got []Entry
		var at journal.Position
		for at.Offset < 7 {
			es, last, err := feed.Next(t.Context(), at)
			if err != nil {
				t.Fatal(err)
			}
			got, at = append(got, es...), last
		}
		if len(got) != len(want) {
			t.Fatalf("%d entries, want %d", len(got), len(want))
		}
		for i := range got {
			if string(got[i].Message.Value) != string(want[i].Body) || got[i].Message.header("ce_id") != want[i].Update.ID {
				t.Errorf("entry %d: %s", i, got[i].Message.Value)
			}
		}
		if n, since := feed.Waiting(journal.Position{}); n != 7 || !since.Equal(someTime) {
			t.Errorf("%d wait since %v", n, since)
		}
		if n, since := feed.Waiting(journal.At(7)); n != 0 || !since.IsZero() {
			t.Errorf("%d wait since %v", n, since)
		}
		if r.metric(t, "journal_damaged_records_total") == 0 {
			t.Error("the one that is no update is not counted")
		}
	}
	f(Updates(r.Bolt, Keys{}), r)
	r = r.again(t)
	f(Updates(r.Bolt, Keys{}), r)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if es, last, err := Updates(r.Bolt, Keys{}).Next(ctx, journal.At(7)); len(es) != 0 || last != journal.At(7) || err != nil {
		t.Errorf("%d entries, place %d, %v", len(es), last, err)
	}
}

// Entries of one callback are one group, whether they are still in memory or read from the file.
func TestUpdatesFeedGroups(t *testing.T) {
	r := startRig(t, "", journal.Options{})
	brought := make([]journal.Record, 0, 3)
	for i := range 3 {
		u := *update(i, 0).Update
		u.Callback = kyc.Callback{ID: "01CB", Index: i, Count: 3}
		brought = append(brought, journal.Said(&u))
	}
	mustAppend(t, r, update(7, 0))
	mustAppend(t, r, brought...)
	for range 2 {
		es, last, err := Updates(r.Bolt, Keys{}).Next(t.Context(), journal.Position{})
		if err != nil || last != journal.At(4) || len(es) != 4 {
			t.Fatalf("%d entries, up to %v, %v", len(es), last, err)
		}
		for i, want := range []string{"", "01CB", "01CB", "01CB"} {
			if es[i].Group != want {
				t.Errorf("entry %d is of %q, want %q", i, es[i].Group, want)
			}
		}
		r = r.again(t)
	}
}
