package console

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

const timelinePage = 50 // records and ends of deliveries of one page

// personView is who told us what of a person, what we concluded, and whom we told.
type personView struct {
	api.Subject
	Deciding *api.Standing // what the status stands on; nil: nothing
	Timeline []moment
	Targets  []target // what an operator may decide about
	Whats    []what
	Older    string // where the timeline goes on
	Newest   string // where it begins, of an older page
	AsOf     string // the instant that is asked for, as the field has it
	AsOfSays string
	Wrong    string
	Delivery string // the page of a delivery takes its id behind this; "": there is none
}

// moment is one entry of the timeline: what was said with what it changed, or whom we told.
type moment struct {
	At      time.Time
	Kind    string // said, decided, time, order or told
	Record  *api.Record
	Changes []*api.Change
	Told    *api.Outcome
}

// person shows one, now or as of an instant.
func person(v *visit) (answer, error) {
	partner, id := v.FormValue("partner"), v.FormValue("subject")
	if v.who.Scope == api.Partner {
		return ownPerson(v, id)
	}
	var wrong string
	at, err := instant(v.FormValue("at"))
	if err != nil {
		wrong = err.Error()
	}
	s, err := v.api.Subject(v.Context(), partner, id, v.livemode(), at, client.Page{Cursor: v.FormValue("cursor"), Limit: timelinePage})
	if err != nil {
		return answer{}, err
	}
	view := personView{Subject: s, Timeline: timeline(&s), Wrong: wrong, Delivery: v.link("/console/delivery", "id=")}
	for i := range s.Why {
		if s.Why[i].Decides {
			view.Deciding = &s.Why[i]
			break
		}
	}
	asOf := ""
	if !at.IsZero() {
		asOf = at.Format(time.RFC3339)
		view.AsOf, view.AsOfSays = at.UTC().Format("2006-01-02T15:04:05"), knownBy(s.At)
	}
	if v.operates() && at.IsZero() && !s.SetAside {
		view.Targets, view.Whats = targets(&s), whats
	}
	if s.HasMore && s.Next != "" {
		view.Older = personPath(s.Partner, s.ID, s.Livemode, "at", asOf, "cursor", s.Next)
	}
	if v.FormValue("cursor") != "" {
		view.Newest = personPath(s.Partner, s.ID, s.Livemode, "at", asOf)
	}
	return show("person", s.ID, view)
}

// ownPersonView is what a partner sees of one of its persons.
type ownPersonView struct {
	api.User
	Deliveries []deliveryRow
	Next       string
}

func ownPerson(v *visit, id string) (answer, error) {
	u, err := v.api.User(v.Context(), "", id, v.livemode())
	if err != nil {
		return answer{}, err
	}
	told, err := v.api.ListDeliveries(v.Context(), client.Page{Cursor: v.FormValue("cursor"), Limit: timelinePage}, client.Deliveries{Subject: id, Livemode: &u.Livemode})
	if err != nil {
		return answer{}, err
	}
	view := ownPersonView{User: u, Deliveries: rowsOf(told.Data)}
	if told.HasMore && told.Next != "" {
		view.Next = personPath(u.Partner, u.ID, u.Livemode, "cursor", told.Next)
	}
	return show("ownperson", u.ID, view)
}

// instant reads an instant as a field of a form has it, in UTC, or in RFC 3339.
func instant(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%.40q is not a time such as 2026-11-30T08:00:00; what is shown is now", text)
}

// knownBy says how it is known where somebody stood at an instant.
func knownBy(a *api.At) string {
	switch {
	case a == nil:
		return ""
	case a.By == "fold":
		return "Everything that was known then is kept, and was evaluated again."
	case a.By == "change":
		return "Not everything of that time is kept: the status is from the changes that are (since " + a.KnownFrom.UTC().Format(time.DateTime) + "). How the checks stood is not known."
	default:
		return "Nothing of that time is kept (everything since " + a.KnownFrom.UTC().Format(time.DateTime) + " is)."
	}
}

// timeline puts what was said, concluded and told into one order, the newest first.
func timeline(s *api.Subject) (list []moment) {
	changes := map[uint64]*api.Change{}
	for i := range s.Changes {
		changes[s.Changes[i].Sequence] = &s.Changes[i]
	}
	for i := range s.Records {
		r := &s.Records[i]
		m := moment{At: r.At, Record: r}
		m.Kind, _ = titleOf(&r.Update)
		for _, n := range slices.Backward(r.Changes) {
			if c := changes[n]; c != nil {
				m.Changes = append(m.Changes, c)
			}
		}
		list = append(list, m)
	}
	for i := range s.Deliveries {
		d := &s.Deliveries[i]
		list = append(list, moment{At: d.At, Kind: "told", Told: d})
	}
	slices.SortStableFunc(list, func(a, b moment) int { return b.At.Compare(a.At) })
	return list
}

// titleOf says who said what kind of thing.
func titleOf(u *api.Update) (kind, title string) {
	who := cmp.Or(u.Actor, "An operator")
	switch u.Kind {
	case "decision":
		switch {
		case u.Rebuild != "":
			return "decided", who + " rebuilt the person"
		case u.TakenBack != "":
			return "decided", who + " took a record back"
		case u.Release:
			return "decided", who + " released the findings of a check"
		}
		return "decided", who + " decided"
	case "confirmation":
		return "said", u.Source + " answered our question"
	case "timer":
		if u.Expiring {
			return "time", "Notice: the approval ends soon"
		}
		return "time", "Time ran out: " + word(u.ExpiryKind)
	case "policy":
		return "time", fmt.Sprintf("Evaluated under version %d of the policy", u.PolicyVersion)
	case "submission":
		if u.Release {
			return "order", who + " settled whose a ref is"
		}
		return "order", "A provider's ref was registered"
	case "redelivery":
		return "order", who + " ordered a delivery again"
	case "fetch":
		return "order", "A question to " + u.Source
	}
	return "said", cmp.Or(u.Source, "A provider") + " said"
}

// toldTitle says what came of a delivery.
func toldTitle(d *api.Outcome) string {
	switch d.Outcome {
	case "done":
		return d.Endpoint + " was told"
	case "cancelled":
		return "Cancelled for " + d.Endpoint
	default:
		return d.Endpoint + " was not told"
	}
}

// verdicts are what became of a record.
var verdicts = map[string]string{
	"applied":    "It counts.",
	"duplicate":  "It was known already.",
	"stale":      "It is older than what is known, or was answered already.",
	"superseded": "The newest of its run, but another run or source decides.",
	"parked":     "An approval that does not answer a finding that stands.",
	"held":       "Held by a sanctions or PEP match. Only an operator releases it.",
	"overruled":  "An operator's approval answers it.",
	"unrouted":   "It was not known yet whose it is.",
	"ambiguous":  "Its ref belongs to two persons.",
	"set_aside":  "A record of the person is damaged; it is kept until they are rebuilt.",
}

// meaning is what a verdict means, in a sentence.
func meaning(verdict string) string { return verdicts[verdict] }

// reasons are the reasons of a status, in words.
func reasons(list []api.Reason) string {
	var all []string
	for _, r := range list {
		text := word(r.Code)
		if r.ProviderCode != "" {
			text += " (" + r.ProviderCode + ")"
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// answers says what would change a status that stands on a finding, or why an approval counts.
func answers(s *api.Standing) string {
	if by, ok := strings.CutPrefix(s.Because, "answered by "); ok {
		return "What would answer it: " + by + "."
	}
	return "It " + s.Because + "."
}

// why says why a delivery ended as it did, beside its HTTP status.
func why(reason string) string {
	switch {
	case strings.HasPrefix(reason, "http_"):
		return ""
	case reason == "exhausted":
		return "all attempts failed, "
	}
	return word(reason) + ", "
}

// waits says what a pending delivery waits for.
func waits(o api.Owed) string {
	text := map[string]string{
		"try": "the next attempt", "turn": "its turn: it is due", "answer": "the answer: it is being tried", "behind": fmt.Sprintf("#%d before it", o.Behind),
		"breaker": "its endpoint, which does not answer", "paused": "its endpoint, which is paused", "disabled": "its endpoint, which is disabled", "orphaned": "its endpoint, which is not in the config",
	}[o.WaitsFor]
	return cmp.Or(text, word(o.WaitsFor))
}
