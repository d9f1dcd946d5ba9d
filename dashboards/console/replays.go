package console

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

// replayPages are the pages of what is told again.
func replayPages() []page {
	return append([]page{
		{"GET /console/replays", "Replays", api.Viewer, false, 3 * time.Second, replays},
		{"GET /console/replay", "", api.Viewer, false, time.Second, oneReplay},
		{"GET /console/replay/new", "", api.Operator, false, 0, newReplay},
		{"POST /console/replay/new", "", api.Operator, false, 0, dryReplay},
		{"POST /console/replay/start", "", api.Operator, false, 0, startReplay},
	}, stepped(replaySteps...)...)
}

// replayRow is a replay as a page shows it.
type replayRow struct {
	api.Replay
	To      string // its page
	Kind    string
	State   string
	Counted bool
	Percent int
	Width   string // of the drawing of its progress, of 100
	Skips   []fact
	Left    int64
}

var replayKinds = []pair{{"dead_lettered", "what is dead-lettered"}, {"range", "what was sent in a span of time"}, {"current", "the current status of each person"}}

func kindOf(kind string) string {
	for _, k := range replayKinds {
		if k.Name == kind {
			return k.Value
		}
	}
	return kind
}

// skips says why a replay passes deliveries over.
var skips = map[string]string{
	"overtaken": "a later change was accepted", "not_kept": "not kept any more", "not_wanted": "the endpoint does not take it", "told": "told already", "set_aside": "the person's record is damaged",
	"damaged": "damaged", "no_person": "of no person", "too_long": "too long", "cancelled": "cancelled",
}

func replayRowOf(r *api.Replay) replayRow {
	row := replayRow{Replay: *r, To: to("/console/replay", "id", r.ID), Kind: kindOf(r.Kind), State: r.State, Counted: !r.Counted.IsZero()}
	if r.State == "done" {
		row.State = "finished" // of a delivery, done is delivered
	}
	passed := int64(0)
	for _, why := range slices.Sorted(maps.Keys(r.Skipped)) {
		passed += r.Skipped[why]
		row.Skips = append(row.Skips, fact{cmp.Or(skips[why], word(why)), count(r.Skipped[why])})
	}
	if row.Counted && !r.DryRun {
		row.Percent = 100
		if r.Total > 0 {
			row.Percent = int(min(100, 100*r.Ordered/r.Total))
		}
	}
	row.Width, row.Left = strconv.Itoa(row.Percent), max(0, r.Total-r.Ordered)
	return row
}

// replaysView is a page of the list.
type replaysView struct {
	Rows []replayRow
	More string
}

func replays(v *visit) (answer, error) {
	list, err := v.api.ListReplays(v.Context(), client.Page{Cursor: v.URL.Query().Get("cursor"), Limit: rowsOfPage})
	if err != nil {
		return answer{}, err
	}
	view := replaysView{}
	for i := range list.Data {
		view.Rows = append(view.Rows, replayRowOf(&list.Data[i]))
	}
	if list.HasMore {
		view.More = to("/console/replays", "cursor", list.Next)
	}
	return show("replays", "Replays", view)
}

// replayView is one replay.
type replayView struct {
	replayRow
	Next  []link
	Start *startForm // of a dry run that is counted: what confirms it
	List  string     // the deliveries that it is about
}

// startForm orders what a dry run has counted.
type startForm struct{ Key, DryRun string }

func oneReplay(v *visit) (answer, error) {
	r, err := v.api.Replay(v.Context(), v.FormValue("id"))
	if err != nil {
		return answer{}, err
	}
	view := replayView{replayRow: replayRowOf(&r)}
	switch r.Kind {
	case "dead_lettered":
		view.List = to("/console/deliveries", "endpoint", r.Endpoint, "status", "dead_lettered")
	case "range":
		view.List = to("/console/deliveries", "endpoint", r.Endpoint, "since", r.Since.UTC().Format(formTime), "until", r.Until.UTC().Format(formTime))
	}
	if v.operates() {
		view.next()
		if r.DryRun && r.State == "done" && r.Total > 0 {
			view.Start = &startForm{"console-" + r.ID, r.ID}
		}
	}
	title := "Replay"
	if r.DryRun {
		title = "Dry run of a replay"
	}
	return show("replay", title, view)
}

// next are what may be done with it as it is.
func (view *replayView) next() {
	step := func(text, name string) {
		view.Next = append(view.Next, link{Text: text, To: to("/console/replay/"+name, "id", view.ID)})
	}
	switch view.State {
	case "counting", "running":
		step("Pause", "pause")
		step("Cancel", "cancel")
	case "paused":
		step("Go on", "resume")
		step("Cancel", "cancel")
	}
}

// newReplayView is the form of a replay.
type newReplayView struct {
	Kinds     []pair
	Endpoints []api.Endpoint
	Asked     replayAsked
	Wrong     string
}

// replayAsked is a replay as the form has it.
type replayAsked struct {
	Kind, Endpoint, To, Since, Until, Rate, Because string
	Force                                           bool
}

func replayForm(v *visit) replayAsked {
	f := v.FormValue
	return replayAsked{cmp.Or(f("kind"), "dead_lettered"), f("endpoint"), f("to"), local(f("since")), local(f("until")), f("rate"), f("because"), f("force") != ""}
}

func newReplay(v *visit) (answer, error) { return formOfReplay(v, nil) }

func formOfReplay(v *visit, wrong error) (answer, error) {
	list, err := v.api.ListEndpoints(v.Context(), client.Page{Limit: 1000})
	if err != nil {
		return answer{}, err
	}
	view := newReplayView{Kinds: replayKinds, Endpoints: list.Data, Asked: replayForm(v)}
	if wrong != nil {
		view.Wrong = said(wrong)
		return showRefused(wrong, "newreplay", "New replay", view)
	}
	return show("newreplay", "New replay", view)
}

// bad refuses a form in the API's own shape.
func bad(param, text string) error {
	return &client.Error{Status: http.StatusBadRequest, Type: api.TypeRequest, Code: param, Param: param, Text: text}
}

// ask is what the form asks the API for.
func (a *replayAsked) ask() (r api.ReplayAsk, err error) {
	r = api.ReplayAsk{Kind: a.Kind, Endpoint: a.Endpoint, To: a.To, Force: a.Force, Because: a.Because}
	if a.Kind == "current" {
		r.Endpoint, r.To = "", cmp.Or(a.To, a.Endpoint)
	}
	if a.Kind != "dead_lettered" {
		r.Force = false
	}
	if a.Rate != "" {
		if r.Rate, err = strconv.ParseFloat(a.Rate, 64); err != nil {
			return r, bad("rate", "rate is a number of deliveries a second, such as 100")
		}
	}
	if a.Kind != "range" {
		return r, nil
	}
	for _, at := range []struct {
		name, text string
		to         *time.Time
	}{{"since", a.Since, &r.Since}, {"until", a.Until, &r.Until}} {
		if *at.to, err = time.Parse(time.RFC3339, apiTime(at.text)); err != nil {
			return r, bad(at.name, at.name+" is an instant in UTC, such as 2026-11-30T08:00")
		}
	}
	return r, nil
}

// dryReplay counts what a replay would tell, and shows that.
func dryReplay(v *visit) (answer, error) {
	a := replayForm(v)
	ask, err := a.ask()
	if err != nil {
		return formOfReplay(v, err)
	}
	ask.DryRun = true
	key, err := v.newKey()
	if err != nil {
		return answer{}, err
	}
	r, err := v.api.CreateReplay(v.Context(), key, ask)
	if denied(err) {
		return formOfReplay(v, err)
	}
	if err != nil {
		return answer{}, err
	}
	return answer{to: to("/console/replay", "id", r.ID)}, nil
}

// startReplay orders what a dry run has counted, once.
func startReplay(v *visit) (answer, error) {
	dry, err := v.api.Replay(v.Context(), v.PostFormValue("dry_run"))
	if err != nil {
		return answer{}, err
	}
	if !dry.DryRun {
		return answer{}, bad("dry_run", "it is no dry run")
	}
	r, err := v.api.CreateReplay(v.Context(), v.PostFormValue("key"), api.ReplayAsk{
		Kind: dry.Kind, Endpoint: dry.Endpoint, To: dry.To, Since: dry.Since, Until: dry.Until, Force: dry.Force, Rate: dry.Rate, Because: dry.Because,
	})
	if err != nil {
		return answer{}, err
	}
	return v.done("The replay is started.", to("/console/replay", "id", r.ID))
}

// replaySteps are the changes of a replay.
var replaySteps = []action{
	{"/console/replay/pause", api.Operator, false, turnOf("Pause the replay", "Nothing more is ordered until somebody goes on with it. What it has ordered is sent."), turn("paused", (*client.Client).PauseReplay)},
	{"/console/replay/resume", api.Operator, false, turnOf("Go on with the replay", "It orders what is left, at its rate."), turn("going on", (*client.Client).ResumeReplay)},
	{"/console/replay/cancel", api.Operator, false, turnOf("Cancel the replay", "The replay ends, and cannot go on. What it has ordered is sent."), turn("cancelled", (*client.Client).CancelReplay)},
}

func turnOf(title, effect string) func(*visit) (step, error) {
	return func(v *visit) (s step, err error) {
		r, err := v.api.Replay(v.Context(), v.FormValue("id"))
		if err != nil {
			return s, err
		}
		row := replayRowOf(&r)
		return step{
			Title: title, Effect: []string{effect}, Button: title, Hidden: []pair{{"id", r.ID}}, Back: row.To,
			Facts: []fact{{"Replay", r.ID}, {"Sends", row.Kind}, {"To", cmp.Or(r.To, r.Endpoint)}, {"State", row.State}, {"Ordered", fmt.Sprintf("%s of %s", count(r.Ordered), count(r.Total))}},
		}, nil
	}
}

func turn(said string, do func(*client.Client, context.Context, string) (api.Replay, error)) func(*visit) (answer, error) {
	return func(v *visit) (answer, error) {
		r, err := do(v.api, v.Context(), v.FormValue("id"))
		if err != nil {
			return answer{}, err
		}
		return v.done("The replay is "+said+".", to("/console/replay", "id", r.ID))
	}
}
