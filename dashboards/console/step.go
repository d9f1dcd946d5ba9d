package console

import (
	"net/http"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

// action is a change in two steps: a page that says what it will do, and the form on it that does
// it. Both have the same address.
type action struct {
	path    string
	scope   api.Scope
	partner bool                         // partners may do it too
	of      func(*visit) (step, error)   // what it will do; it changes nothing
	do      func(*visit) (answer, error) // does it
}

// step is the page that says what a change will do.
type step struct {
	Title  string
	Effect []string // sentences
	Facts  []fact
	Action string
	Hidden []pair
	Fields []field
	Told   []told // what will become of whom, and who will be told
	Line   *keyLine
	Again  string // a button that shows the page again with what is filled in; "": there is none
	Button string // "": it cannot be done, as Effect says
	Danger bool
	Once   bool // the call takes an Idempotency-Key, which the form carries
	Back   string
	Wrong  string
}

// told is what a change will do to a person, and who will be told of it.
type told struct {
	Person        string // "": the step names them
	Before, After string
	Changes       []api.Effect
}

// pair is a field of a form by its name.
type pair struct{ Name, Value string }

// fact is a name and what stands beside it.
type fact struct{ Name, Value string }

// field is one that is filled in. Options make it a choice; Check makes it a box to tick.
type field struct {
	Name, Label, Help, Value string
	Options                  []pair // what is sent, and what is read
	Check, Checked, Need     bool
	Max                      int
}

// stepped are the two rows of each action.
func stepped(actions ...action) (all []page) {
	for i := range actions {
		a := &actions[i]
		all = append(all, page{"GET " + a.path, "", a.scope, a.partner, 0, a.ask}, page{"POST " + a.path, "", a.scope, a.partner, 0, a.perform})
	}
	return all
}

// ask shows what it will do.
func (a *action) ask(v *visit) (answer, error) {
	s, err := a.prepared(v)
	if err != nil {
		return answer{}, err
	}
	return show("step", s.Title, s)
}

func (a *action) prepared(v *visit) (s step, err error) {
	if s, err = a.of(v); err != nil {
		return s, err
	}
	s.Action = a.path
	if s.Once {
		key := v.FormValue("key")
		if key == "" {
			key, err = v.newKey()
		}
		s.Hidden = append(s.Hidden, pair{"key", key})
	}
	return s, err
}

// perform does it, or shows the form again with what was wrong.
func (a *action) perform(v *visit) (answer, error) {
	if v.PostFormValue("again") != "" {
		return a.ask(v)
	}
	done, err := a.do(v)
	if !denied(err) {
		return done, err
	}
	if client.Is(err, "idempotency_key_used") {
		v.Form.Del("key") // another order: the next try is one of its own
	}
	s, again := a.prepared(v)
	if again != nil {
		return answer{}, err
	}
	s.Wrong = said(err)
	return showRefused(err, "step", s.Title, s)
}

// to is an address of the console with a query; what is empty is left out.
func to(path string, pairs ...string) string {
	if q := query(pairs...); q != "" {
		return path + "?" + q
	}
	return path
}

// denied reports whether an error is the API's no to what was asked, which a form shows.
func denied(err error) bool {
	status := statusOf(err)
	return err != nil && status < http.StatusInternalServerError && status != http.StatusUnauthorized
}
