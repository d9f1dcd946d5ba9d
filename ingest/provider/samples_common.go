package provider

import (
	"fmt"
	"slices"
	"strings"
)

// CommonNames are the names that samples have whoever the provider is: what the callback says of
// the person. hit is one that says that a list of sanctions, politicians or bad news may have the
// person.
var CommonNames = []string{"approved", "rejected", "in_review", "expired", "hit"}

// commonSamples says which sample of a provider is meant by a common name, where the sample has
// another name of its own.
var commonSamples = map[string]map[string]string{
	"blendfi":         {"hit": "rejected_final"},
	"bluum":           {"in_review": "pending_review"},
	"checkr":          {"expired": "canceled"},
	"complycube":      {"approved": "workflow_clear", "hit": "rejected_final"},
	"didit":           {"rejected": "declined", "expired": "kyc_expired"},
	"dojah":           {"approved": "completed", "rejected": "failed", "in_review": "pending", "expired": "abandoned", "hit": "completed_aml"},
	"footprint":       {"approved": "pass", "rejected": "fail", "in_review": "manual_review"},
	"idenfy":          {"rejected": "denied", "in_review": "suspected"},
	"jumio":           {"expired": "session_expired"},
	"onfido":          {"in_review": "review", "expired": "abandoned"},
	"persona":         {"rejected": "declined", "in_review": "marked_for_review"},
	"rebilly":         {"approved": "request_fulfilled", "rejected": "request_failed"},
	"shufti":          {"in_review": "review", "expired": "timeout"},
	"smile_id":        {"in_review": "review"},
	"socure":          {"expired": "docv_expired"},
	"stripe_identity": {"approved": "verified", "rejected": "requires_input", "expired": "canceled"},
	"sumsub":          {"rejected": "rejected_final", "in_review": "on_hold", "hit": "rejected_sanctions"},
	"trulioo":         {"approved": "workflow_approved", "rejected": "workflow_rejected"},
	"veriff":          {"rejected": "declined", "in_review": "review", "hit": "screening_possible_match"},
}

// CommonSamples says, of the common names that an adapter has, which sample each means.
func CommonSamples(adapter string) map[string]string {
	all := map[string]string{}
	events := SampleEvents(adapter)
	for _, name := range CommonNames {
		if event := sampleOf(adapter, name); slices.Contains(events, event) {
			all[name] = event
		}
	}
	return all
}

// sampleOf is the sample that a name means: the provider's own, or a common one.
func sampleOf(adapter, name string) string {
	if event := commonSamples[adapter][name]; event != "" {
		return event
	}
	return name
}

// ResolveSample is the sample of an adapter that a name means. Where there is none the error says
// why, and what there is.
func ResolveSample(adapter, name string) (event string, err error) {
	events := SampleEvents(adapter)
	if len(events) == 0 {
		return "", fmt.Errorf("there are no samples of provider %q", adapter)
	}
	event = sampleOf(adapter, name)
	if slices.Contains(events, event) {
		return event, nil
	}
	what := fmt.Sprintf("%s has no sample %q", adapter, name)
	if slices.Contains(CommonNames, name) {
		what = fmt.Sprintf("%s has no callback that says %s", adapter, name)
	}
	return "", fmt.Errorf("%s: there are %s", what, strings.Join(SampleNames(adapter), ", "))
}

// SampleNames are all the names that samples of an adapter have, sorted: its own and the common
// ones.
func SampleNames(adapter string) []string {
	names := SampleEvents(adapter)
	for name := range CommonSamples(adapter) {
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
