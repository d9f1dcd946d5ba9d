package console

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

// endpointSteps are the changes of endpoints.
var endpointSteps = []action{
	{"/console/endpoint/pause", api.Operator, false, pauseOf, pause},
	{"/console/endpoint/resume", api.Operator, true, resumeOf, resume},
	{"/console/endpoint/retry", api.Operator, false, retryAllOf, retryAll},
	{"/console/endpoint/ping", api.Operator, true, pingOf, ping},
	{"/console/endpoint/give-up", api.Operator, false, giveUpOf, giveUp},
	{"/console/endpoint/rotate", api.Operator, true, rotateOf, rotate},
	{"/console/endpoint/revoke", api.Operator, true, revokeOf, revoke},
}

func endpointPath(id string) string { return to("/console/endpoint", "id", id) }

// endpointLinks are what may be done with an endpoint by whoever is signed in.
func endpointLinks(v *visit, e *known) (links []link) {
	own, partner := v.operates(), v.who.Scope == api.Partner
	add := func(text, path string) { links = append(links, link{Text: text, To: path}) }
	step := func(text, name string) { add(text, to("/console/endpoint/"+name, "id", e.ID)) }
	switch {
	case e.Orphaned:
	case e.Disabled != "" && (own || partner):
		step("Re-enable", "resume")
	case e.Paused != nil && own:
		step("Resume", "resume")
	case e.Disabled == "" && e.Paused == nil && own:
		step("Pause", "pause")
	}
	if !e.Orphaned && (own || partner) {
		step("Ping", "ping")
	}
	if !e.Orphaned && own && e.Owed > 0 {
		step("Retry failed now", "retry")
	}
	if own && (e.Orphaned || e.Disabled != "") && e.Owed > 0 {
		step("Give up what is pending", "give-up")
	}
	if own {
		add("Replay", to("/console/replay/new", "endpoint", e.ID))
	}
	return links
}

// stepAt begins a step on the endpoint that is named.
func stepAt(v *visit, title string) (s step, e *known, err error) {
	if e, err = v.endpoint(v.FormValue("id")); err != nil {
		return s, e, err
	}
	state := stateOf(e.listed())
	s = step{Title: title, Hidden: []pair{{"id", e.ID}}, Back: endpointPath(e.ID), Button: title}
	s.Facts = []fact{{"Endpoint", e.ID}, {"Partner", e.Partner}, {"URL", e.URL}, {"State", strings.TrimSuffix(state.Word+", "+state.Note, ", ")}, {"Pending", count(e.Owed)}, {"Dead-lettered", count(e.Dead)}}
	if e.URL == "" {
		s.Facts = append(s.Facts[:2], s.Facts[3:]...)
	}
	return s, e, nil
}

func pauseOf(v *visit) (step, error) {
	s, _, err := stepAt(v, "Pause the endpoint")
	s.Effect = []string{"Nothing more is sent to the endpoint until somebody resumes it. What is pending stays pending, and new events wait too.", "What is being sent at this moment is finished."}
	return s, err
}

func pause(v *visit) (answer, error) {
	p, err := v.api.Pause(v.Context(), v.FormValue("id"))
	if err != nil {
		return answer{}, err
	}
	return v.done("The endpoint "+p.ID+" is paused.", endpointPath(p.ID))
}

func resumeOf(v *visit) (step, error) {
	s, e, err := stepAt(v, "Resume the endpoint")
	if err != nil {
		return s, err
	}
	if e.Disabled != "" {
		s.Title, s.Button = "Re-enable the endpoint", "Re-enable the endpoint"
	}
	s.Effect = []string{fmt.Sprintf("Deliveries go out again: %s are pending now. They are sent at the endpoint's own rate.", count(e.Owed))}
	if e.Disabled == "" && e.Paused == nil {
		s.Effect = append(s.Effect, "The endpoint is neither paused nor disabled. Its breaker is closed, and what waits is tried.")
	}
	return s, nil
}

func resume(v *visit) (answer, error) {
	r, err := v.api.Resume(v.Context(), v.FormValue("id"))
	if err != nil {
		return answer{}, err
	}
	return v.done("The endpoint "+r.ID+" is enabled. What is pending goes out.", endpointPath(r.ID))
}

func retryAllOf(v *visit) (step, error) {
	s, _, err := stepAt(v, "Retry failed now")
	s.Effect = []string{"Everything that waits for its next attempt becomes due now, up to 10,000 deliveries, one after the other over some seconds. The rate and the concurrency of the endpoint hold. Attempts so far still count."}
	return s, err
}

func retryAll(v *visit) (answer, error) {
	h, err := v.api.RetryAllNow(v.Context(), v.FormValue("id"))
	if err != nil {
		return answer{}, err
	}
	text := count(h.Moved) + " deliveries are due now."
	if h.More {
		text += " There are more: do it again."
	}
	if h.WaitsFor != "" {
		text += " " + endpointWaits(h.WaitsFor)
	}
	return v.done(text, endpointPath(h.ID))
}

func pingOf(v *visit) (step, error) {
	s, _, err := stepAt(v, "Ping the endpoint")
	s.Effect = []string{"The gateway posts one test event to the endpoint, and shows what it answered. The event tells of no person. It is signed like every other, tried once and kept nowhere.", "A paused or disabled endpoint is pinged too."}
	return s, err
}

// pinged is what came of a ping.
type pinged struct {
	api.Ping
	Result, Took, Back string
	Again              string
}

func ping(v *visit) (answer, error) {
	p, err := v.api.Ping(v.Context(), v.FormValue("id"))
	if err != nil {
		return answer{}, err
	}
	return show("ping", "Ping of "+p.Endpoint, pinged{p, resultOf(p.Reason, p.Code, p.Detail), took(p.TookMS), endpointPath(p.Endpoint), to("/console/endpoint/ping", "id", p.Endpoint)})
}

// giveUpOf counts first what is to be given up.
func giveUpOf(v *visit) (step, error) {
	s, e, err := stepAt(v, "Give up what is pending")
	if err != nil {
		return s, err
	}
	s.Danger = true
	g, err := v.api.GiveUp(v.Context(), e.ID, true)
	if client.Is(err, "endpoint_served") {
		s.Button, s.Effect = "", []string{"The endpoint is in the config and enabled, so what is pending is sent. Only what is pending at an endpoint that is disabled, or not in the config, can be given up."}
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s.Effect = []string{count(g.Owed) + " pending deliveries are dead-lettered, up to 10,000 in one step. They are kept and listed, and can be redelivered if the endpoint comes back."}
	if g.Rejections > 0 {
		s.Effect = append(s.Effect, count(g.Rejections)+" of them tell of a rejection or suspension. They stay withheld, with an alert, until somebody acknowledges that the partner knows.")
	}
	if g.Owed == 0 {
		s.Button = ""
	}
	return s, nil
}

func giveUp(v *visit) (answer, error) {
	g, err := v.api.GiveUp(v.Context(), v.FormValue("id"), false)
	if err != nil {
		return answer{}, err
	}
	text := count(g.GivenUp) + " deliveries are dead-lettered."
	if g.Owed > 0 {
		text += " " + count(g.Owed) + " are pending still: do it again."
	}
	return v.done(text, endpointPath(g.Endpoint))
}

func rotateOf(v *visit) (step, error) {
	s, e, err := stepAt(v, "Rotate the key")
	if err != nil {
		return s, err
	}
	s.Button, s.Once = "Make a new key", true
	s.Effect = []string{
		"A new key is made, and signs first from now on. Its secret is shown once, on the next page. Nobody can show it again.",
		"The key before signs on until the overlap ends. Meanwhile each event has a signature of each, so a receiver that knows either key accepts it. Give the new key to " + e.Partner + " before the overlap ends.",
	}
	kind, overlap := v.PostFormValue("kind"), v.PostFormValue("overlap")
	if overlap == "" {
		overlap = "24h"
	}
	if s.Line, err = v.rotated(e.ID, overlap, &s); err != nil {
		return s, err
	}
	s.Again = "Show these dates"
	s.Fields = []field{
		{Name: "kind", Label: "Kind", Value: kind, Options: []pair{{"", "as the newest key"}, {"hmac", "hmac (a shared secret)"}, {"ed25519", "ed25519 (a key pair: only the public half is shown)"}}},
		{Name: "overlap", Label: "Overlap", Value: overlap, Max: 32, Help: "How long the key before signs on: 0s to 168h (7 days). With 0s it ends at once."},
	}
	return s, nil
}

// rotated draws the keys as a rotation now would leave them, and says their ends. nil: the overlap is
// none that can be read, which the call refuses.
func (v *visit) rotated(id, overlap string, s *step) (*keyLine, error) {
	list, err := v.api.ListKeys(v.Context(), id)
	d, ok := overlapOf(overlap)
	if err != nil || !ok {
		return nil, err
	}
	now := v.c.o.Now()
	keys := []api.EndpointKey{{ID: "new key", Status: "signs", MadeAt: now}}
	for _, k := range list.Data {
		if end := now.Add(d); k.Status == "signs" && (k.Until.IsZero() || k.Until.After(end)) {
			k.Until = end
		}
		if k.Status == "signs" {
			s.Facts = append(s.Facts, fact{"Key " + keyName(&k), "signs until " + stamp(k.Until)})
			keys = append(keys, k)
		}
	}
	s.Facts = append(s.Facts, fact{"New key", "signs from now, " + stamp(now) + ", with no end"})
	return keyLineOf(keys, now), nil
}

// overlapOf reads a span as the API takes it: a number and its unit, or days.
func overlapOf(text string) (d time.Duration, ok bool) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		return time.Duration(n * float64(24*time.Hour)), err == nil && n >= 0
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0
}

// newKeyView is a key that was made, with its secret, this once.
type newKeyView struct {
	api.EndpointKey
	Before []keyRowView // what signed before, and until when
	Line   *keyLine
	Back   string
	Ended  string // the key that was revoked; "": none
}

func rotate(v *visit) (answer, error) {
	k, err := v.api.RotateKey(v.Context(), v.FormValue("id"), v.PostFormValue("key"), api.RotateAsk{Kind: v.PostFormValue("kind"), Overlap: v.PostFormValue("overlap")})
	if err != nil {
		return answer{}, err
	}
	return showKey(v, &k, "")
}

// showKey shows a new key. The page is kept by nobody, and the secret is in no other.
func showKey(v *visit, k *api.EndpointKey, ended string) (answer, error) {
	list, err := v.api.ListKeys(v.Context(), k.Endpoint)
	if err != nil {
		v.c.o.Logger.Warn("console_keys_unlisted", "error", err) // the secret is shown all the same: it is nowhere else
	}
	view := newKeyView{EndpointKey: *k, Line: keyLineOf(list.Data, v.c.o.Now()), Back: endpointPath(k.Endpoint), Ended: ended}
	for i := range list.Data {
		if old := &list.Data[i]; old.ID != k.ID && old.Status == "signs" {
			view.Before = append(view.Before, keyRowView{EndpointKey: *old, Name: keyName(old)})
		}
	}
	return show("newkey", "New key of "+k.Endpoint, view)
}

func revokeOf(v *visit) (step, error) {
	s, _, err := stepAt(v, "Revoke the key")
	if err != nil {
		return s, err
	}
	of := v.FormValue("of")
	s.Facts = append([]fact{{"Key", of}}, s.Facts...)
	s.Hidden, s.Danger, s.Once = append(s.Hidden, pair{"of", of}), true, true
	s.Effect = []string{
		"The key ends at once: nothing that is sent afterwards is signed with it. A receiver that knows only this key refuses every event from then on.",
		"Do this if the key is known to somebody who should not know it. To change keys without a gap, rotate instead.",
	}
	s.Fields = []field{{Name: "replace", Label: "Make a new key in the same step", Check: true, Checked: v.PostFormValue("replace") != "", Help: "The last key that signs can be revoked only so. The new secret is shown once, on the next page."}}
	return s, nil
}

func revoke(v *visit) (answer, error) {
	r, err := v.api.RevokeKey(v.Context(), v.FormValue("id"), v.PostFormValue("of"), v.PostFormValue("key"), v.PostFormValue("replace") != "")
	if err != nil {
		return answer{}, err
	}
	if r.Replacement != nil {
		return showKey(v, r.Replacement, r.ID)
	}
	return v.done("The key "+r.ID+" is revoked.", endpointPath(r.Endpoint))
}
