package console

import (
	"errors"
	"net/url"
	"strconv"
	"strings"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

// personsView is a page of persons, and what was asked for.
type personsView struct {
	Partner, Begins, Status string
	Held, Filtered          bool
	Statuses                []string
	List                    []api.ListedSubject
	Next                    string
	Wrong                   string
}

var statuses = []string{"not_started", "pending", "in_review", "approved", "rejected", "expired", "suspended"}

// persons lists who is kept, and leads to one.
func persons(v *visit) (answer, error) {
	view := personsView{
		Partner: strings.TrimSpace(v.FormValue("partner")), Begins: strings.TrimSpace(v.FormValue("begins")), Status: v.FormValue("status"), Held: v.FormValue("held") == "true", Statuses: statuses,
	}
	view.Filtered = view.Status != "" || view.Held
	list, err := v.api.ListSubjects(v.Context(), client.Page{Cursor: v.FormValue("cursor"), Limit: 50}, client.Subjects{
		Partner: view.Partner, Livemode: v.livemode(), Begins: view.Begins, Status: view.Status, Held: view.Held,
	})
	if e, ok := errors.AsType[*client.Error](err); ok && e.Status == 400 {
		view.Wrong = e.Text
		return showRefused(err, "persons", "Persons", view)
	}
	if err != nil {
		return answer{}, err
	}
	view.List = list.Data
	if list.HasMore && list.Next != "" {
		view.Next = "/console/persons?" + query(
			"partner", view.Partner, "begins", view.Begins, "status", view.Status, "held", yes(view.Held), "livemode", v.FormValue("livemode"), "cursor", list.Next,
		)
	}
	return show("persons", "Persons", view)
}

// livemode is whether live persons are asked for; nil: as the gateway's mode.
func (v *visit) livemode() *bool {
	b, err := strconv.ParseBool(v.FormValue("livemode"))
	if err != nil {
		return nil
	}
	return &b
}

func yes(b bool) string {
	if b {
		return "true"
	}
	return ""
}

// personPath is the page of a person. Ids stand in the query, for they may be anything.
func personPath(partner, id string, livemode bool, more ...string) string {
	q := url.Values{"partner": {partner}, "subject": {id}, "livemode": {strconv.FormatBool(livemode)}}
	for i := 0; i+1 < len(more); i += 2 {
		if more[i+1] != "" {
			q.Set(more[i], more[i+1])
		}
	}
	return "/console/person?" + q.Encode()
}

// findView is what a word is, and where.
type findView struct {
	Word     string
	Data     []api.Found
	Complete bool
	Asked    bool
}

// find says what an id is.
func find(v *visit) (answer, error) {
	view := findView{Word: strings.TrimSpace(v.FormValue("q")), Complete: true}
	if view.Word != "" {
		found, err := v.api.Search(v.Context(), view.Word)
		if err != nil {
			return answer{}, err
		}
		view.Data, view.Complete, view.Asked = found.Data, found.Complete, true
	}
	return show("find", "Find", view)
}
