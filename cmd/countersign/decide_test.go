package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"countersign/relay/control/api"
)

// at types one command at a terminal, where somebody answers what is asked.
func (w *walk) at(answer, line string) (code int, out, errs string) {
	w.t.Helper()
	var o, e bytes.Buffer
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	code = run(&console{in: strings.NewReader(answer), out: &o, err: &e, terminal: true, ctx: ctx, env: func(string) (string, bool) { return "", false }}, words(line))
	return code, o.String(), e.String()
}

// TestDecideAsks: decide shows what would come of it and asks; where nobody can answer it wants
// --yes; what was done is what was shown.
func TestDecideAsks(t *testing.T) {
	w := newWalk(t)
	w.run(exitYes, "trigger sumsub-eu on_hold --subject dana", "200 ok")
	w.told("dana", "kyc.status.in_review")
	const call = `decide acme dana --source sumsub-eu --check identity_verification --status approved --because "seen in person"`
	w.run(exitUsage, call, "add --yes, or --dry-run")
	w.run(exitUsage, `decide acme dana --check identity_verification --status approved --because "x" --yes`, "--source", "--manual")
	w.run(exitUsage, call+" --manual --yes", "--source", "--manual")
	w.run(exitYes, call+" --dry-run", "acme/dana  in_review -> approved", "kyc.status.approved", "to acme-main")
	for _, answer := range []string{"", "n\n", "\n", "yep\n"} {
		if code, out, errs := w.at(answer, call); code != exitNo || out != "" || !containsAll(errs, []string{"in_review -> approved", "to acme-main", "Do it? [y/N]", "nothing was done"}) {
			t.Errorf("answered %q: exit %d\n%s%s", answer, code, out, errs)
		}
	}
	w.until("subject acme dana", "acme/dana  in_review")
	if code, out, errs := w.at("y\n", call); code != exitYes || !containsAll(out, []string{"acme/dana  in_review -> approved", "to acme-main", "decided: "}) || !strings.Contains(errs, "Do it?") {
		t.Errorf("answered yes: exit %d\n%s%s", code, out, errs)
	}
	w.told("dana", "kyc.status.approved")

	release := `decide acme dana --source sumsub-eu --check identity_verification --release --because "x" --yes`
	w.run(exitNo, release, "there is nothing to release", "decided: ")
	var v api.Decision
	if err := json.Unmarshal([]byte(w.run(exitNo, release+" --json")), &v); err != nil || v.Released == nil || *v.Released || !v.Folded {
		t.Errorf("%+v, %v", v, err)
	}
	w.run(exitUnknown, `decide acme dana --source sumsub-eu --check screening --status rejected --because "x" --yes`, "dana has sumsub-eu identity_verification overall", "manual")
	w.run(exitNo, `decide acme dana --source nosuch --check identity_verification --status rejected --because "x" --yes`, "no such source")
	w.run(exitYes, `decide acme dana --manual --check screening --status rejected --reasons sanctions_match --because "x" --yes --key k1`, "approved -> rejected")
	w.run(exitYes, `decide acme dana --manual --check screening --status rejected --reasons sanctions_match --because "x" --yes --key k1`, "approved -> rejected")
	w.run(exitNo, `decide acme dana --manual --check screening --status suspended --because "x" --yes --key k1`, "was used for another request")
	for _, name := range []string{"manual", "test_helpers"} {
		w.save("reserved.yaml", strings.ReplaceAll(read(t, "countersign.yaml"), "name: blendfi,", "name: "+name+","))
		w.run(exitNo, "check --config reserved.yaml", "is reserved")
	}
}
