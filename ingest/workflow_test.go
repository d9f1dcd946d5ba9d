package ingest

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"countersign/ingest/journal"
	"countersign/ingest/provider"
	"countersign/kyc"
	"countersign/signing"
)

// TestWorkflows: where a source names whose approvals count, those of another workflow, or of none,
// are kept and not applied. Everything else is applied whatever its workflow: a rejection must not
// be lost.
func TestWorkflows(t *testing.T) {
	d := open(t, func(o *Options) {
		for i := range o.Sources {
			if name := o.Sources[i].Name; name == "sumsub" || name == "weakly" {
				o.Sources[i].Workflows = []string{"full-kyc-level", "company-level"}
			}
		}
	})
	const named, full, none = `"levelName":"basic-kyc-level"`, `"levelName":"full-kyc-level"`, `"levelName":""`
	f := func(event, level string, want kyc.Status) {
		t.Helper()
		body := strings.Replace(sample(t, "sumsub", event, provider.SampleVars{}), named, level, 1)
		if want == "" {
			d.quarantines(journal.OtherWorkflow, "sumsub", body)
			return
		}
		held := d.journal.Quarantined()
		if u := d.last(genuine(t, "sumsub", body)); u.Status != want || d.journal.Quarantined() != held {
			t.Errorf("%s of %s: %s, %d more in quarantine; want %s", event, level, u.Status, d.journal.Quarantined()-held, want)
		}
	}
	f("approved", full, kyc.Approved)
	f("approved", named, "")
	f("approved", none, "")
	f("approved", `"levelName":"FULL-KYC-LEVEL"`, "")
	for _, level := range []string{full, named, none} {
		f("rejected_final", level, kyc.Rejected)
		f("rejected_retry", level, kyc.Rejected)
		f("on_hold", level, kyc.InReview)
		f("deactivated", level, kyc.Suspended)
		f("reset", level, kyc.NotStarted)
		f("pending", level, kyc.Pending)
	}
	before := d.journal.Backlog() // a weak approval is one all the same, and leaves nothing to ask
	if a := d.ask(genuine(t, "weakly", "weak")); a.status != 200 || d.journal.Backlog() != before || len(d.questions("weakly")) != 0 {
		t.Errorf("a weak approval: answered %d, %d records, asks %+v", a.status, d.journal.Backlog()-before, d.questions("weakly"))
	}
}

// TestWorkflowsInPart: of a body that approves and takes away, what takes away is applied and the
// body is kept; when the workflow is allowed, releasing it adds what was left out.
func TestWorkflowsInPart(t *testing.T) {
	d := open(t)
	src := d.set.Load().sources["probe"]
	approval := kyc.Update{Subject: kyc.Subject{ID: "user-1"}, Scope: kyc.Overall, Check: kyc.IdentityVerification, Status: kyc.Approved, Verification: kyc.Verification{Workflow: "lite"}}
	hit := kyc.Update{Subject: kyc.Subject{ID: "user-1"}, Scope: kyc.CheckScope, Check: kyc.Screening, Status: kyc.InReview, Verification: kyc.Verification{Workflow: "lite"}}
	res := provider.Result{Updates: []kyc.Update{approval, hit}, KeepBody: true}
	take := func() journal.Intake {
		return d.intake(&message{src: src, h: http.Header{}, body: []byte("both"), now: at, res: res})
	}
	all := take().Records
	src.Workflows = []string{"full"}
	in := take()
	if len(all) != 2 || len(in.Records) != 1 || in.Records[0].Update.ID != all[1].Update.ID || in.Keep == nil || in.Keep.Reason != journal.OtherWorkflow {
		t.Fatalf("%+v, allowed %+v", in, all)
	}
	src.Adapter.Translate = func(signing.Header, []byte, provider.Options) (provider.Result, error) { return res, nil }
	if again, err := d.Release(*in.Keep); !errors.Is(err, ErrStillUnclear) || !strings.Contains(err.Error(), "add it to the source's workflows") {
		t.Errorf("%+v, %v", again, err)
	}
	src.Workflows = []string{"full", "lite"}
	if again, err := d.Release(*in.Keep); err != nil || len(again.Records) != 2 || again.Records[0].Update.ID != all[0].Update.ID || again.Keep == nil || again.Keep.Reason != journal.UnknownWord {
		t.Errorf("%+v, %v", again, err)
	}
}

// TestWorkflowAnswered: an API's answer is held to the same list. It ends its question: asking
// again would bring the same.
func TestWorkflowAnswered(t *testing.T) {
	d := open(t)
	d.set.Load().sources["sumsub"].Workflows = []string{"full"}
	q := journal.Question{Source: "sumsub", What: "w", Ref: "r", Claim: "c"}
	res := provider.Result{Updates: []kyc.Update{{Subject: kyc.Subject{ID: "user-1"}, Scope: kyc.Overall, Check: kyc.IdentityVerification, Status: kyc.Approved}}}
	in, err := d.Confirmed(q, res, nil, [][]byte{[]byte("the answer")}, at)
	if err != nil || in.Applied() || in.Keep == nil || in.Keep.Reason != journal.OtherWorkflow || in.Open() || !strings.Contains(in.Keep.Detail, "ends its question") {
		t.Errorf("%+v, %v", in, err)
	}
	if err := d.journal.Answer(context.Background(), q, in); err != nil || d.journal.Quarantined() != 1 {
		t.Errorf("%v, %d in quarantine", err, d.journal.Quarantined())
	}
	res.Updates[0].Status = kyc.Rejected
	if in, err := d.Confirmed(q, res, nil, nil, at); err != nil || len(in.Records) != 1 || in.Keep != nil {
		t.Errorf("a rejection: %+v, %v", in, err)
	}
}
