package provider

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"countersign/kyc"
)

// pageFacts says what proves a callback, and where the vendor says so.
func pageFacts(t *testing.T, a Adapter) string {
	t.Helper()
	if a.Stream != nil {
		return fmt.Sprintf("`provider: %s`. No callbacks: Countersign follows the stream of events that the vendor describes on <%s>.", a.Name, a.Doc)
	}
	return fmt.Sprintf("`provider: %s`. What proves a callback: %s. The vendor's page: <%s>.", a.Name, provedBy(scheme(t, a, nil)), a.Doc)
}

// notPicked are the providers whose events nobody picks in a dashboard: all of them come.
var notPicked = []string{"alpaca", "dojah", "idenfy", "idnow", "jumio", "shufti", "smile_id", "trulioo", "veratad", "veriff", "checkr"}

// pageEvents says of each event that the adapter knows what becomes of it, and so whether to pick
// it.
func pageEvents(t *testing.T, a Adapter) string {
	t.Helper()
	says, with := comesOf(t, a, false), comesOf(t, a, true)
	picked := !slices.Contains(notPicked, a.Name)
	var b strings.Builder
	if picked {
		b.WriteString("Events to pick, by their names. Those marked *no* may be sent as well; nothing comes of them.\n\n| event | pick | what can come of it |\n|---|---|---|\n")
	} else {
		b.WriteString("Nobody picks events here. These come, and this can come of them:\n\n| event or word | what can come of it |\n|---|---|\n")
	}
	for _, name := range a.Events {
		becomes := strings.Join(slices.Sorted(maps.Keys(says[name])), ", ")
		if becomes == "" {
			becomes = joinWith(slices.Sorted(maps.Keys(with[name])))
		}
		pick := "yes | "
		if becomes == "" {
			pick, becomes = "no | ", "nothing"
		}
		if !picked {
			pick = ""
		}
		fmt.Fprintf(&b, "| `%s` | %s%s |\n", name, pick, becomes)
	}
	return b.String()
}

// joinWith joins what comes with options, and names the options once where they are the same.
func joinWith(all []string) string {
	if len(all) > 1 {
		_, options, _ := strings.Cut(all[0], " with `")
		options = " with `" + options
		if !slices.ContainsFunc(all, func(s string) bool { return !strings.HasSuffix(s, options) }) {
			for i := range all[:len(all)-1] {
				all[i] = strings.TrimSuffix(all[i], options)
			}
		}
	}
	return strings.Join(all, ", ")
}

// comesOf says of each event what its fixtures come to: those without options, or those with some.
func comesOf(t *testing.T, a Adapter, options bool) map[string]map[string]bool {
	t.Helper()
	all := map[string]map[string]bool{}
	for _, f := range fixtures(t, a) {
		if (len(f.options) > 0) != options {
			continue
		}
		r, err := a.Translate(http.Header{}, f.body, f.options)
		if err != nil || r.KeepBody { // not understood, or not wholly
			continue
		}
		if all[r.EventType] == nil {
			all[r.EventType] = map[string]bool{}
		}
		beside := ""
		if options {
			beside = fmt.Sprintf(" with `%s`", flat(f.options))
		}
		for _, u := range r.Updates {
			all[r.EventType][toldShort(u)+beside] = true
		}
		if len(r.Fetch) > 0 && !r.Fetch[0].Confirms {
			all[r.EventType]["asked by API"+beside] = true
		}
	}
	return all
}

// toldShort is an update in two words.
func toldShort(u kyc.Update) string {
	if u.Release {
		return "the end of a suspension"
	}
	if u.Scope == kyc.Overall {
		return "`" + string(u.Status) + "`"
	}
	return fmt.Sprintf("%s `%s`", u.Check, u.Status)
}

// pageSettings says what the source's evidence is, and which options there are.
func pageSettings(t *testing.T, a Adapter) string {
	t.Helper()
	var b strings.Builder
	proves := a.Authenticity(nil)
	if a.Stream != nil {
		proves = a.Evidence
	}
	fmt.Fprintf(&b, "- Evidence: `%s`. %s\n", proves, evidenceMeans(a, proves))
	for _, v := range variants(t, a) {
		if v.Error == "" && a.Authenticity(v.Options) != a.Authenticity(nil) {
			fmt.Fprintf(&b, "- With `options: {%s}` it is `%s`.\n", flat(v.Options), a.Authenticity(v.Options))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.Options)) {
		fmt.Fprintf(&b, "- `options.%s`: %s.\n", name, a.Options[name])
	}
	switch {
	case a.Stream != nil:
		fmt.Fprintf(&b, "- `api`: %s. See <%s>.\n", a.Stream.Credentials, a.Stream.Doc)
	case a.API != nil:
		fmt.Fprintf(&b, "- `api`: %s. See <%s>. Without `api`, what needs an answer waits as `pending` or `in_review`.\n", a.API.Credentials, a.API.Doc)
	}
	fmt.Fprintf(&b, "- It can approve: %s", codes(a.Overall))
	if len(a.Steps) > 0 {
		fmt.Fprintf(&b, "; and of steps and documents: %s", codes(a.Steps))
	}
	b.WriteString(".\n")
	if a.Workflow != "" {
		fmt.Fprintf(&b, "- `workflows` and `check` go by its `%s`.\n", a.Workflow)
	}
	return b.String()
}

func evidenceMeans(a Adapter, proves kyc.Authenticity) string {
	const waits = " Approvals, final rejections and suspensions are told as `in_review`, with what was claimed in `claimed_status`, until "
	ends := "an operator decides (`countersign decide`), or until you trust the source with `evidence: " + string(proves) + "`."
	if a.API != nil {
		ends = "the provider's API has confirmed them, " + ends
	}
	switch proves {
	case kyc.Signed:
		return "What a callback says counts at once."
	case kyc.Authenticated:
		return "A shared secret proves who sends. Nothing proves the body." + waits + ends
	default:
		return "Nothing proves who sends." + waits + ends
	}
}

func flat(o Options) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(o)) {
		parts = append(parts, name+": "+o[name])
	}
	return strings.Join(parts, ", ")
}

// pageLimits are the gaps of an adapter, and what has judged it.
func pageLimits(t *testing.T, a Adapter) string {
	t.Helper()
	var b strings.Builder
	if len(a.Gaps) > 0 {
		b.WriteString("### Not verified or not supported\n\n")
	}
	for _, g := range a.Gaps {
		fmt.Fprintf(&b, "- %s\n", g)
	}
	fmt.Fprintf(&b, "\n### What the adapter was checked against\n\n%s", artefacts(t, a).lines())
	return b.String()
}
