package console

import (
	"strings"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

const listed = 50 // entries of a page of a list

// reviewPages are what waits for a person: one entry of the navigation, with tabs.
func reviewPages() []page {
	return append([]page{
		{"GET /console/quarantine", "Review", api.Viewer, false, 0, quarantine},
		{"GET /console/quarantine/body", "", api.Operator, false, 0, quarantined},
		{"POST /console/quarantine/body", "", api.Operator, false, 0, quarantinedInClear},
		{"GET /console/unrouted", "", api.Viewer, false, 0, unrouted},
		{"GET /console/refs", "", api.Viewer, false, 0, contestedRefs},
		{"GET /console/damaged", "", api.Viewer, false, 0, damaged},
		{"GET /console/questions", "", api.Viewer, false, 0, questions},
		{"GET /console/withheld", "", api.Viewer, false, 0, withheld},
	}, stepped(reviewSteps()...)...)
}

// listView is one page of a list, and what was asked for.
type listView[T any] struct {
	Tab      string
	List     []T
	Next     string
	Endpoint string // of withheld rejections
	Done     bool   // those that were acknowledged
}

// pageOf is which page of a list a visit asks for.
func (v *visit) page() client.Page { return client.Page{Cursor: v.FormValue("cursor"), Limit: listed} }

// listView makes the view of a page of a list.
func viewOf[T any](tab string, l api.List[T], pairs ...string) listView[T] {
	view := listView[T]{Tab: tab, List: l.Data}
	if l.HasMore && l.Next != "" {
		view.Next = tab + "?" + query(append(pairs, "cursor", l.Next)...)
	}
	return view
}

// quarantine lists callbacks that could not be applied.
func quarantine(v *visit) (answer, error) {
	l, err := v.api.ListQuarantine(v.Context(), v.page())
	if err != nil {
		return answer{}, err
	}
	return show("quarantine", "Quarantine", viewOf("/console/quarantine", l))
}

// bodyView is one callback in quarantine.
type bodyView struct {
	api.BodyTranslation
	Open   *api.OpenedBody // nil: nobody has asked for the body
	Base64 bool            // what is shown of the body is base64
	Shown  string
}

// quarantined shows what a callback is, and what a release would come to.
func quarantined(v *visit) (answer, error) { return v.body(nil) }

// quarantinedInClear shows the body too. It is a form, so that a link does not.
func quarantinedInClear(v *visit) (answer, error) {
	open, err := v.api.OpenBody(v.Context(), v.FormValue("id"))
	if err != nil {
		return answer{}, err
	}
	return v.body(&open)
}

func (v *visit) body(open *api.OpenedBody) (answer, error) {
	t, err := v.api.TranslateBody(v.Context(), v.FormValue("id"))
	if err != nil {
		return answer{}, err
	}
	view := bodyView{BodyTranslation: t, Open: open}
	if open != nil {
		view.Shown = open.Text
		if view.Base64 = len(open.Body) > 0; view.Base64 {
			view.Shown = base64Lines(open.Body)
		}
	}
	return show("body", "Callback in quarantine", view)
}

// unrouted lists records that wait for their person.
func unrouted(v *visit) (answer, error) {
	l, err := v.api.ListHeld(v.Context(), v.page())
	if err != nil {
		return answer{}, err
	}
	return show("unrouted", "Unrouted records", viewOf("/console/unrouted", l))
}

// contestedRefs lists refs that more than one person claims.
func contestedRefs(v *visit) (answer, error) {
	l, err := v.api.ListConflicts(v.Context(), v.page())
	if err != nil {
		return answer{}, err
	}
	return show("refs", "Contested refs", viewOf("/console/refs", l))
}

// damaged lists persons of whom a record is damaged.
func damaged(v *visit) (answer, error) {
	l, err := v.api.ListSetAside(v.Context(), v.page())
	if err != nil {
		return answer{}, err
	}
	return show("damaged", "Damaged persons", viewOf("/console/damaged", l))
}

// questions lists what providers have still to be asked.
func questions(v *visit) (answer, error) {
	l, err := v.api.ListQuestions(v.Context(), v.page())
	if err != nil {
		return answer{}, err
	}
	return show("questions", "Open questions", viewOf("/console/questions", l))
}

// withheldRow is a rejection or suspension that an endpoint was not told of.
type withheldRow struct {
	api.Withheld
	Partner, Person string
	Live            bool
	Delivery        string // the page of the delivery; "": there is none
}

// withheld lists them: those that nobody has acknowledged, or those that somebody has.
func withheld(v *visit) (answer, error) {
	endpoint, done := strings.TrimSpace(v.FormValue("endpoint")), v.FormValue("acknowledged") == "true"
	l, err := v.api.ListWithheld(v.Context(), v.page(), endpoint, done)
	if err != nil {
		return answer{}, err
	}
	rows := api.List[withheldRow]{HasMore: l.HasMore, Next: l.Next}
	for _, w := range l.Data {
		rows.Data = append(rows.Data, v.withheldRow(w))
	}
	view := viewOf("/console/withheld", rows, "endpoint", endpoint, "acknowledged", yes(done))
	view.Endpoint, view.Done = endpoint, done
	return show("withheld", "Withheld rejections", view)
}

// testMark stands behind the subject of a test person.
const testMark = "\x01t"

func (v *visit) withheldRow(w api.Withheld) withheldRow {
	row := withheldRow{Withheld: w, Delivery: v.link("/console/delivery", query("id", w.ID))}
	subject, test := strings.CutSuffix(w.Subject, testMark)
	row.Partner, row.Person, _ = strings.Cut(subject, "/")
	row.Live = !test
	return row
}
