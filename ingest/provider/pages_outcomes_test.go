package provider

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"countersign/kyc"
)

// deciding are the members of a body by which a reader knows one outcome from another, for the
// tables of the pages.
var deciding = map[string][]string{
	"alloy":           {"type", "data.outcome", "data.evaluation_status", "data.journey_application_status"},
	"alpaca":          {"status_to", "kyc_results.reject", "kyc_results.indeterminate"},
	"blendfi":         {"type", "kyc_status", "rejection_reason", "data.kyc_status", "data.rejection_reasons.code"},
	"bluum":           {"event", "data.workflow_status", "data.check_type", "data.document_type", "data.status", "data.reason"},
	"checkr":          {"type", "data.object.result"},
	"complycube":      {"type", "payload.type", "payload.outcome"},
	"didit":           {"webhook_type", "status", "decision.id_verifications.warnings.risk", "decision.aml_screenings.total_hits"},
	"dojah":           {"verification_status", "status", "aml.status", "entity.status"},
	"footprint":       {"event_kind", "status", "requires_manual_review"},
	"idenfy":          {"status.overall", "final", "status.autoDocument", "AML.status.overallStatus"},
	"idnow":           {"identificationprocess.result", "identificationprocess.reason"},
	"jumio":           {"workflowExecution.status"},
	"middesk":         {"type", "data.object.status", "data.object.hit_count"},
	"onfido":          {"payload.action", "payload.object.status", "payload.object.task_def_id", "payload.resource.output.result"},
	"persona":         {"data.attributes.name", "data.attributes.payload.included.attributes.checks.name"},
	"plaid_idv":       {"webhook_type", "webhook_code"},
	"rebilly":         {"eventType", "_embedded.kycRequest.status", "_embedded.kycDocument.status", "_embedded.kycDocument.rejectionReason.type"},
	"shufti":          {"event", "declined_codes"},
	"smile_id":        {"ResultCode", "IsFinalResult"},
	"socure":          {"event_type", "eventType", "event.eventType", "data.decision"},
	"stripe_identity": {"type", "data.object.last_error.code"},
	"sumsub":          {"type", "applicantType", "reviewResult.reviewAnswer", "reviewResult.reviewRejectType", "reviewResult.rejectLabels"},
	"trulioo":         {"event.name", "error.message", "event.type", "serviceType", "serviceData.serviceStatus", "serviceData.match"},
	"veratad":         {"status", "journey.stops.source"},
	"veriff":          {"action", "verification.status", "verification.reasonCode", "matchStatus"},
}

// pageOutcomes are the tables of what becomes of what: of the samples, which trigger sends, of what
// the API answers, and of the codes.
func pageOutcomes(t *testing.T, a Adapter) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| the provider says | sample for `trigger` | what the partner is told | of the check | reasons |\n|---|---|---|---|---|\n")
	common := map[string][]string{}
	for name, event := range CommonSamples(a.Name) {
		if name != event {
			common[event] = append(common[event], name)
		}
	}
	v := SampleVars{Subject: "user-7", At: time.Date(2026, 5, 1, 12, 30, 15, 0, time.UTC)}
	for _, event := range SampleEvents(a.Name) {
		body, err := Sample(a.Name, event, v)
		if err != nil {
			t.Fatal(err)
		}
		r, err := a.Translate(http.Header{}, body, nil)
		if err != nil {
			t.Fatalf("%s %s: %v", a.Name, event, err)
		}
		slices.Sort(common[event])
		names := strings.Join(append([]string{event}, common[event]...), "`, `")
		row(&b, a, said(t, body, deciding[a.Name]), "`"+names+"` | ", r)
	}
	answers(t, &b, a)
	reasonsTable(&b, a)
	return b.String()
}

// row writes what comes of one body: a line for each update.
func row(b *strings.Builder, a Adapter, what, names string, r Result) {
	if len(r.Updates) == 0 {
		becomes := "nothing: it carries no status"
		if len(r.Fetch) > 0 {
			becomes = "nothing yet: the API is asked"
		}
		fmt.Fprintf(b, "| %s | %s%s | | |\n", what, names, becomes)
		return
	}
	for i, u := range r.Updates {
		if i > 0 {
			what = "the same answer, beside it"
			if names != "" {
				what, names = "the same callback, beside it", " | "
			}
		}
		fmt.Fprintf(b, "| %s | %s%s | %s | %s |\n", what, names, told(a, u), u.Check, reasonsOf(u))
	}
}

// told is what a partner is told because of an update alone.
func told(a Adapter, u kyc.Update) string {
	s := "`" + string(u.Status) + "`"
	switch {
	case u.Release:
		return "the end of a suspension"
	case u.Status == kyc.Rejected && u.Terminal:
		s += ", terminal"
	case u.Status == kyc.Rejected && u.Retryable:
		s += ", may try again"
	case u.Status == kyc.Expired && u.ExpiryKind == kyc.ExpiryAttempt:
		s += " (only the attempt)"
	case u.Expiring:
		s += ", with a notice that it will end"
	}
	if a.Stream == nil && a.Authenticity(nil) != kyc.Signed && (u.Status == kyc.Approved || u.Status == kyc.Suspended || u.Terminal) {
		s = "`in_review` that claims " + s
	}
	return s
}

func reasonsOf(u kyc.Update) string {
	var all []string
	for _, p := range u.Reasons {
		if name := "`" + string(p.Code) + "`"; !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return strings.Join(all, ", ")
}

// said are the deciding members of a body and what stands in them.
func said(t *testing.T, body []byte, paths []string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, path := range paths {
		steps := strings.Split(path, ".")
		if found := slices.Compact(follow(v, steps)); len(found) > 0 {
			parts = append(parts, fmt.Sprintf("`%s`: %s", steps[len(steps)-1], strings.Join(found, ", ")))
		}
	}
	return strings.Join(parts, "; ")
}

// follow lists the plain values at a path, and the keys of an object. Lists are gone through.
func follow(v any, steps []string) (found []string) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			found = append(found, follow(item, steps)...)
		}
	case map[string]any:
		if len(steps) == 0 {
			return slices.Sorted(maps.Keys(v))
		}
		return follow(v[steps[0]], steps[1:])
	case string:
		if len(steps) == 0 && v != "" {
			found = append(found, v)
		}
	case bool:
		if len(steps) == 0 {
			found = append(found, strconv.FormatBool(v))
		}
	case float64:
		if len(steps) == 0 {
			found = append(found, strconv.FormatFloat(v, 'f', -1, 64))
		}
	}
	return found
}

// odd are words in the names of fixtures of answers that are no outcome which a reader looks for.
var odd = []string{"escaped", "another", "of_", "unknown", "no_", "bad_", "option", "milliseconds", "without", "odd", "not_said", "_but_", "_and_", "sample", "embedded", "null"}

// answers is the table of what the provider's API answers. The cases are the fixtures', by their
// names.
func answers(t *testing.T, b *strings.Builder, a Adapter) {
	t.Helper()
	if a.API == nil {
		return
	}
	b.WriteString("\nWhat the API answers counts like a signed callback:\n\n| the answer | what the partner is told | of the check | reasons |\n|---|---|---|---|\n")
	sure := a
	sure.Proves = func(Options) kyc.Authenticity { return kyc.Signed }
	for _, x := range questions(t, a) {
		if len(x.options) > 0 || slices.ContainsFunc(odd, func(w string) bool { return strings.Contains(x.name, w) }) {
			continue
		}
		r, err := a.API.Read(x.q, x.answers, x.options)
		if err != nil || len(r.Updates) == 0 {
			continue
		}
		row(b, sure, strings.ReplaceAll(x.name, "_", " "), "", r)
	}
}

// reasonsTable says which of our reasons each of the provider's codes is.
func reasonsTable(b *strings.Builder, a Adapter) {
	if len(a.reasons) == 0 {
		b.WriteString("\nThe provider's own words for a reason are passed on as `other`, beside the word.\n")
		return
	}
	b.WriteString("\nIts codes, and the reason that the partner is told. A code that is not here is `other`. The provider's code stands beside it.\n\n| reason | codes |\n|---|---|\n")
	by := map[kyc.Reason][]string{}
	for code, m := range a.reasons {
		by[m.reason] = append(by[m.reason], "`"+code+"`")
	}
	for _, reason := range slices.Sorted(maps.Keys(by)) {
		slices.Sort(by[reason])
		fmt.Fprintf(b, "| `%s` | %s |\n", reason, strings.Join(by[reason], ", "))
	}
}
