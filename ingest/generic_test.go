package ingest

import (
	"encoding/json"
	"testing"

	"countersign/ingest/journal"
	"countersign/ingest/provider"
	"countersign/kyc"
)

// TestGenericRelease: what a mapping reads of the headers is kept with the body, or a released one
// would say something else.
func TestGenericRelease(t *testing.T) {
	a, err := provider.Generic(provider.GenericSpec{
		Signature: provider.GenericSignature{Kind: "header", Header: "X-Token"},
		Map:       map[string]string{"event_type": `"e"`, "subject": `header("X-Subject")`, "status": "body.status"},
	})
	if err != nil {
		t.Fatal(err)
	}
	d := open(t, func(o *Options) {
		o.Sources = append(o.Sources, Source{
			Name: "generic", Adapter: a, Keys: ring(t, hmacKey), PartnerFrom: "subject_prefix", Evidence: kyc.Authenticated, MaxBody: 1 << 20,
		})
	})
	const body = `{"status":"approved"}`
	send := func(subject string) {
		t.Helper()
		if got := d.ask(post(pathPrefix+"generic", body, "X-Token: "+hmacKey, "X-Subject: "+subject, "X-Other: not kept")); got.status != 200 {
			t.Fatalf("answered %d", got.status)
		}
	}
	send("acme:user-7")
	rs := d.records()
	if len(rs) != 1 || rs[0].Update.Subject.ID != "user-7" || rs[0].Update.Status != kyc.Approved || rs[0].Update.Provider != provider.GenericName {
		t.Fatalf("records %+v", rs)
	}
	send("gamma:user-8")
	items, _, err := d.journal.Items("", 10)
	if err != nil || len(items) != 1 {
		t.Fatalf("%d items, %v", len(items), err)
	}
	item, err := d.journal.Unseal(items[0].ID)
	if err != nil || item.Reason != journal.NoPartner || len(item.Headers) != 2 {
		t.Fatalf("held %+v, %v", item, err)
	}
	to := d.o.settings()
	to.Partners = func(id string) bool { return id == "gamma" }
	apply, err := d.Plan(to)
	if err != nil {
		t.Fatal(err)
	}
	apply()
	in, err := d.Release(item)
	if err != nil || len(in.Records) != 1 {
		t.Fatalf("released %+v, %v", in, err)
	}
	var u kyc.Update
	if err := json.Unmarshal(in.Records[0].Body, &u); err != nil || u.Partner != "gamma" || u.Subject.ID != "user-8" {
		t.Errorf("released %+v, %v", u, err)
	}
}
