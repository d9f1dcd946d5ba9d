package confirm

import (
	"strings"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/ingest/provider"
	"countersign/kyc"
)

// kept lists what is in quarantine, in clear.
func (d *desk) kept() (items []journal.Item) {
	d.t.Helper()
	views, _, err := d.journal.Items("", 100)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, v := range views {
		it, err := d.journal.Unseal(v.ID)
		if err != nil {
			d.t.Fatal(err)
		}
		items = append(items, it)
	}
	return items
}

// TestKept is I8 for answers. One that cannot be applied is kept while its question is asked again,
// and goes when the provider has said it anew; one that is applied with a word nobody knows stays.
func TestKept(t *testing.T) {
	f := func(source, said string, reason journal.Reason, open bool, applied int) {
		t.Helper()
		d := newDesk(t)
		d.first = time.Hour
		base, _ := server(t, says(200, said), says(200, "acme:approved"))
		src := Source{Name: source, API: thin(), Base: base, Credentials: credentials(t), Rate: 1000}
		d.raise(source, provider.Fetch{Ref: "7", What: "thing"}, "claim-7")
		stop := d.run(src)
		d.eventually(said+": kept", func() bool { return d.journal.Quarantined() == 1 })
		stop()
		it, us, qs := d.kept()[0], d.confirmations(), d.questions()
		if it.Reason != reason || string(it.Body) != said || it.Source != source || it.Provider != "thin" || it.Answer == nil || it.Answer.What != "thing" || it.Answer.Ref != "7" ||
			it.Answer.Claim != "claim-7" || it.Answer.Asked.IsZero() || len(it.Answer.Parts) != 1 || it.Answer.Parts[0] != len(said) || strings.Contains(it.Detail, "asked for again") != open {
			t.Errorf("%s: kept %+v, %+v", said, it, it.Answer)
		}
		if len(us) != applied || applied == 1 && us[0].Status != kyc.InReview || len(qs) == 1 != open || open && (qs[0].Tries != 1 || qs[0].Error == "") {
			t.Errorf("%s: confirmed %+v, open %+v", said, us, qs)
		}
		if !open {
			return
		}
		d.ahead.Add(int64(2 * time.Hour))
		stop = d.run(src)
		d.eventually(said+": answered", func() bool { return len(d.questions()) == 0 })
		stop()
		if us := d.confirmations(); len(us) != applied+1 || us[applied].Status != kyc.Approved || d.journal.Quarantined() != 0 {
			t.Errorf("%s: confirmed %+v, %d in quarantine", said, us, d.journal.Quarantined())
		}
	}
	f("src", "<html>", journal.Unreadable, true, 0)
	f("src", "nothing", journal.Unreadable, true, 0)
	f("src", "panic", journal.Unreadable, true, 0)
	f("src", "of a live person", journal.WrongMode, true, 0)
	f("prefixed", "rejected", journal.NoPartner, true, 0)
	f("src", "busy, with a word nobody knows", journal.UnknownWord, true, 1)
	f("src", "a word nobody knows", journal.UnknownWord, false, 1)
}

// TestKeptBeginning: of an answer without end the beginning is kept.
func TestKeptBeginning(t *testing.T) {
	d := newDesk(t)
	d.first = time.Hour
	base, _ := server(t, says(200, strings.Repeat("x", maxAnswer+1)))
	d.raise("src", provider.Fetch{Ref: "7", What: "thing"}, "claim")
	d.run(Source{Name: "src", API: thin(), Base: base, Credentials: credentials(t), Rate: 1000})
	d.eventually("kept", func() bool { return d.journal.Quarantined() == 1 })
	if it := d.kept()[0]; len(it.Body) != maxAnswer || !strings.Contains(it.Detail, "only its beginning is kept") || len(d.questions()) != 1 {
		t.Errorf("%s, %d bytes, open %+v", it.Detail, len(it.Body), d.questions())
	}
}
