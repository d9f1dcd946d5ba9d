package console

import (
	"encoding/base64"
	"fmt"
	"strings"

	"countersign/relay/control/api"
)

// maxWhy is how long a reason may be, in bytes.
const maxWhy = 500

// reviewSteps are the changes of the pages of what waits for a person.
func reviewSteps() []action {
	return []action{
		{"/console/quarantine/release", api.Operator, false, releaseOf, release},
		{"/console/quarantine/discard", api.Operator, false, discardOf, discard},
		{"/console/unrouted/release", api.Operator, false, assignOf, assign},
		{"/console/unrouted/discard", api.Operator, false, discardRecordOf, discardRecord},
		{"/console/unrouted/take-back", api.Operator, false, takeBackOf, takeBack},
		{"/console/refs/settle", api.Operator, false, settleOf, settle},
		{"/console/questions/close", api.Operator, false, closeOf, closeQuestion},
		{"/console/questions/close-old", api.Operator, false, closeOldOf, closeOld},
		{"/console/withheld/acknowledge", api.Operator, false, acknowledgeOf, acknowledge},
	}
}

// why is the field of a reason, which the audit trail or the history keeps.
func (v *visit) why(help string) field {
	return field{Name: "reason", Label: "Reason", Help: help, Value: v.FormValue("reason"), Need: true, Max: maxWhy}
}

const (
	inTrail   = "The audit trail keeps it. Write a ticket number, and no names of persons."
	inHistory = "It is kept for whoever must explain this later. Write a ticket number."
)

// reasoned is what somebody gave as the reason; there has to be one.
func (v *visit) reasoned() (string, error) {
	why := strings.TrimSpace(v.FormValue("reason"))
	if why == "" {
		return "", wanting("Give a reason.")
	}
	return why, nil
}

func releaseOf(v *visit) (s step, err error) {
	id := v.FormValue("id")
	t, err := v.api.TranslateBody(v.Context(), id)
	if err != nil {
		return s, err
	}
	s = step{
		Title: "Release a callback", Back: to("/console/quarantine/body", "id", id), Hidden: []pair{{"id", id}},
		Facts: []fact{{"Callback", t.ID}, {"Source", t.Source}, {"Why it is kept", quarantineReason(t.Reason)}},
	}
	if !t.Releases {
		s.Effect = []string{"It cannot be released: " + t.Why + "."}
		return s, nil
	}
	s.Button, s.Fields = "Release", []field{v.why(inTrail)}
	s.Effect = []string{"The callback is translated again with today's adapter and config. " + updates(len(t.Updates)) + " applied, and partners are told what changes."}
	for i := range t.Persons {
		s.effectOn(&t.Persons[i])
	}
	if t.Unrouted > 0 {
		s.Effect = append(s.Effect, updates(t.Unrouted)+" kept: nobody knows yet whose they are. Nobody is told of them.")
	}
	for i := range t.Updates {
		u := &t.Updates[i]
		s.Facts = append(s.Facts, fact{fmt.Sprintf("Update %d", i+1), word(u.Check) + ": " + word(u.Status) + ", of " + personOf(u)})
	}
	if t.Kept != "" {
		s.Effect = append(s.Effect, "The body is kept on, for: "+quarantineReason(t.Kept)+".")
	} else {
		s.Effect = append(s.Effect, "The body is deleted from quarantine.")
	}
	return s, nil
}

// effectOn adds what would become of a person.
func (s *step) effectOn(p *api.PersonEffect) {
	whom := p.Subject + " of " + p.Partner
	if p.SetAside {
		s.Effect = append(s.Effect, "A record of "+whom+" is damaged. What is applied to them waits until they are rebuilt.")
		return
	}
	s.Told = append(s.Told, told{whom, p.Before, p.After, p.Changes})
}

func updates(n int) string {
	if n == 1 {
		return "1 update is"
	}
	return fmt.Sprintf("%d updates are", n)
}

// personOf says of whom an update is.
func personOf(u *api.Update) string {
	for _, id := range []string{u.Subject.ID, u.Subject.ProviderRef, u.Verification.Ref} {
		if id != "" {
			return id
		}
	}
	return "a person who is not named"
}

func release(v *visit) (answer, error) {
	why, err := v.reasoned()
	if err != nil {
		return answer{}, err
	}
	r, err := v.api.Release(v.Context(), v.FormValue("id"), &api.ReleaseAsk{Reason: why})
	if err != nil {
		return answer{}, err
	}
	said := "The callback is released."
	if r.Updates != nil {
		said = fmt.Sprintf("The callback is released: %s applied.", updates(*r.Updates))
	}
	return v.done(said, "/console/quarantine")
}

func discardOf(v *visit) (step, error) {
	id := v.FormValue("id")
	return step{
		Title: "Discard a callback", Back: to("/console/quarantine/body", "id", id), Hidden: []pair{{"id", id}}, Facts: []fact{{"Callback", id}}, Button: "Discard", Danger: true,
		Effect: []string{"The body is deleted for good, and nothing of it is applied to anybody. Only the entry in the audit trail stays."}, Fields: []field{v.why(inTrail)},
	}, nil
}

func discard(v *visit) (answer, error) {
	return v.discarded("The callback is discarded.", "/console/quarantine")
}

func (v *visit) discarded(said, back string) (answer, error) {
	why, err := v.reasoned()
	if err != nil {
		return answer{}, err
	}
	if _, err := v.api.Discard(v.Context(), v.FormValue("id"), why); err != nil {
		return answer{}, err
	}
	return v.done(said, back)
}

// assignOf asks first to whom, and then shows what would become of them.
func assignOf(v *visit) (step, error) {
	id, partner, subject := v.FormValue("id"), strings.TrimSpace(v.FormValue("partner")), strings.TrimSpace(v.FormValue("subject"))
	s := step{
		Title: "Give a record to its person", Back: "/console/unrouted", Hidden: []pair{{"id", id}}, Facts: []fact{{"Record", id}}, Again: "Show who will be told",
		Effect: []string{
			"The record is applied to this person, and their partner is told what changes.",
			"If it was the wrong person, you can take it back with the record's id. Partners are then told again.",
		},
		Fields: []field{
			{Name: "partner", Label: "Partner", Value: partner, Need: true, Max: 256},
			{Name: "subject", Label: "Person's id", Help: "As the partner knows the person.", Value: subject, Need: true, Max: 256},
			v.why(inTrail),
		},
	}
	if partner == "" || subject == "" {
		return s, nil
	}
	r, err := v.api.Release(v.Context(), id, &api.ReleaseAsk{Partner: partner, Subject: subject, DryRun: true})
	if denied(err) {
		s.Wrong = said(err)
		return s, nil
	}
	if err == nil && r.Person != nil {
		s.effectOn(r.Person)
		s.Button = "Give to this person"
	}
	return s, err
}

func assign(v *visit) (answer, error) {
	why, err := v.reasoned()
	if err != nil {
		return answer{}, err
	}
	id := v.FormValue("id")
	if _, err := v.api.Release(v.Context(), id, &api.ReleaseAsk{Partner: v.FormValue("partner"), Subject: v.FormValue("subject"), Reason: why}); err != nil {
		return answer{}, err
	}
	return v.done("Record "+id+" is given to "+v.FormValue("subject")+" of "+v.FormValue("partner")+". It leaves this list in a moment.", "/console/unrouted")
}

func discardRecordOf(v *visit) (step, error) {
	id := v.FormValue("id")
	return step{
		Title: "Discard a record", Back: "/console/unrouted", Hidden: []pair{{"id", id}}, Facts: []fact{{"Record", id}}, Button: "Discard", Danger: true,
		Effect: []string{"The record is kept, and is never applied to anybody. Nobody is told."}, Fields: []field{v.why(inTrail)},
	}, nil
}

func discardRecord(v *visit) (answer, error) {
	return v.discarded("The record is discarded. It leaves this list in a moment.", "/console/unrouted")
}

func takeBackOf(v *visit) (step, error) {
	return step{
		Title: "Take a record back", Back: "/console/unrouted", Button: "Take back", Danger: true,
		Effect: []string{"The record counts for nothing at the person it was given to, and waits for its person again. If that changes where the person stands, their partner is told."},
		Fields: []field{
			{Name: "id", Label: "Record's id", Help: "It begins with unrouted_. The audit trail has it.", Value: strings.TrimSpace(v.FormValue("id")), Need: true, Max: 256},
			v.why(inHistory),
		},
	}, nil
}

func takeBack(v *visit) (answer, error) {
	why, err := v.reasoned()
	if err != nil {
		return answer{}, err
	}
	t, err := v.api.TakeBack(v.Context(), strings.TrimSpace(v.FormValue("id")), why)
	if err != nil {
		return answer{}, err
	}
	said := fmt.Sprintf("The record is taken back from %s of %s.", t.Subject, t.Partner)
	switch {
	case !t.Folded:
		said += " It counts in a moment."
	case t.Before != t.After:
		said += " Their status: " + word(t.Before) + " → " + word(t.After) + "."
	default:
		said += " Their status stays " + word(t.After) + "."
	}
	return v.done(said, "/console/unrouted")
}

func settleOf(v *visit) (step, error) {
	ref, source := v.FormValue("ref"), v.FormValue("source")
	return step{
		Title: "Decide whose a ref is", Back: "/console/refs", Facts: []fact{{"Provider's ref", ref}, {"Source", source}}, Button: "It is this person's",
		Hidden: []pair{{"ref", ref}, {"source", source}, {"livemode", v.FormValue("livemode")}},
		Effect: []string{"From now on, callbacks for this ref are about this person. What was held for the ref is applied to them, and their partner is told what changes. The other claims end."},
		Fields: []field{
			{Name: "partner", Label: "Partner", Value: v.FormValue("partner"), Need: true, Max: 256},
			{Name: "subject", Label: "Person's id", Help: "As the partner knows the person.", Value: v.FormValue("subject"), Need: true, Max: 256},
			v.why(inHistory),
		},
	}, nil
}

func settle(v *visit) (answer, error) {
	why, err := v.reasoned()
	if err != nil {
		return answer{}, err
	}
	s, err := v.api.Settle(v.Context(), api.SettleAsk{
		Source: v.FormValue("source"), ProviderRef: v.FormValue("ref"), Partner: v.FormValue("partner"), Subject: v.FormValue("subject"), Livemode: v.livemode(), Reason: why,
	})
	if err != nil {
		return answer{}, err
	}
	said := "The ref is now of " + s.Subject + " of " + s.Partner + "."
	if !s.Folded {
		said += " What was held is applied in a moment."
	}
	return v.done(said, "/console/refs")
}

func closeOf(v *visit) (step, error) {
	id := v.FormValue("id")
	return step{
		Title: "Close a question", Back: "/console/questions", Hidden: []pair{{"id", id}}, Facts: []fact{{"Question", id}}, Button: "Close the question",
		Effect: []string{"The provider is not asked any more. What the callback claimed stays as it is: not confirmed. A later callback may raise the question again."},
	}, nil
}

func closeQuestion(v *visit) (answer, error) {
	if _, err := v.api.DiscardQuestion(v.Context(), v.FormValue("id")); err != nil {
		return answer{}, err
	}
	return v.done("The question is closed.", "/console/questions")
}

// oldAsk reads which old questions are meant.
func (v *visit) oldAsk() api.OldAsk {
	return api.OldAsk{Source: strings.TrimSpace(v.FormValue("source")), Older: strings.TrimSpace(v.FormValue("older")), All: v.FormValue("all") == "true"}
}

func closeOldOf(v *visit) (s step, err error) {
	ask := v.oldAsk()
	n, err := v.api.CountOldQuestions(v.Context(), ask)
	if err != nil {
		return s, err
	}
	s = step{
		Title: "Close old questions", Back: "/console/questions", Hidden: []pair{{"source", ask.Source}, {"older", ask.Older}, {"all", yes(ask.All)}},
		Facts:  []fact{{"Source", ask.Source}, {"Open for at least", ask.Older}, {"Also of proved callbacks", map[bool]string{true: "yes", false: "no"}[ask.All]}, {"Questions", count(n.Count)}},
		Effect: []string{count(n.Count) + " questions are closed. The provider is not asked about them any more. What the callbacks claimed stays as it is: not confirmed."},
	}
	if n.Count > 0 {
		s.Button, s.Danger = "Close "+count(n.Count)+" questions", true
	} else {
		s.Effect = []string{"There are no such questions."}
	}
	return s, nil
}

func closeOld(v *visit) (answer, error) {
	n, err := v.api.DiscardOldQuestions(v.Context(), v.oldAsk())
	if err != nil {
		return answer{}, err
	}
	return v.done(count(n.Count)+" questions are closed.", "/console/questions")
}

func acknowledgeOf(v *visit) (step, error) {
	id := v.FormValue("id")
	return step{
		Title: "Acknowledge a withheld rejection", Back: "/console/withheld", Hidden: []pair{{"id", id}}, Facts: []fact{{"Delivery", id}}, Button: "Acknowledge",
		Effect: []string{
			"The alert about this one ends. The partner is told nothing by this: tell them in another way first.",
			"A pending delivery stays pending. A dead-lettered one can still be retried.",
		},
		Fields: []field{v.why(inHistory)},
	}, nil
}

func acknowledge(v *visit) (answer, error) {
	why, err := v.reasoned()
	if err != nil {
		return answer{}, err
	}
	if _, err := v.api.Acknowledge(v.Context(), v.FormValue("id"), why); err != nil {
		return answer{}, err
	}
	return v.done("The withheld rejection is acknowledged.", "/console/withheld")
}

// quarantineReasons say why a callback is kept.
var quarantineReasons = map[string]string{
	"unreadable": "The adapter could not read it", "livemode": "Test and live do not match", "unknown_word": "A word in it is unknown; it was applied as in review",
	"unknown_event": "An unknown event that carries a decision", "account": "It is of another account at the provider", "workflow": "An approval of a workflow that may not approve",
	"no_partner": "The person's id names no partner", "too_large": "The record is larger than Kafka takes",
}

func quarantineReason(reason string) string {
	if text, ok := quarantineReasons[reason]; ok {
		return text
	}
	return word(reason)
}

// base64Lines is a body in base64, in lines of 76.
func base64Lines(body []byte) string {
	text := base64.StdEncoding.EncodeToString(body)
	var b strings.Builder
	for len(text) > 76 {
		b.WriteString(text[:76] + "\n")
		text = text[76:]
	}
	return b.String() + text
}
