package console

import (
	"cmp"
	"time"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

// rowsOfPage is how many entries a page of a list has at most.
const rowsOfPage = 50

// deliveryPages are the pages of what is sent to endpoints.
func deliveryPages() []page {
	return append([]page{
		{"GET /console/deliveries", "Deliveries", api.Viewer, true, 0, deliveries},
		{"GET /console/delivery", "", api.Viewer, true, 5 * time.Second, oneDelivery},
		{"POST /console/delivery/sealed", "", api.Operator, true, 0, sealedDelivery},
	}, stepped(deliverySteps...)...)
}

// deliveriesView is a page of the list.
type deliveriesView struct {
	Asked     wantedDeliveries
	Statuses  []pair
	Modes     []pair
	Endpoints []api.Endpoint // for the form to offer, the first page of them
	Partners  []string
	Rows      []deliveryRow
	More      string
	Short     bool // it has no more to show, and the next page may
	Wrong     string
}

// wantedDeliveries is which deliveries are wantedDeliveries for, as the form has it.
type wantedDeliveries struct {
	Status, Partner, Endpoint, Subject, Livemode, Type, Since, Until string
}

// deliveryRow is one of the list.
type deliveryRow struct {
	api.Delivery
	To     string // its page
	Result string // of the last attempt, or why it ended
	Waits  string // what it waits for
}

var deliveryStatuses = []pair{{"", "all"}, {"pending", "pending"}, {"retrying", "retrying"}, {"delivered", "delivered"}, {"dead_lettered", "dead-lettered"}, {"cancelled", "cancelled"}}

// deliveries lists them.
func deliveries(v *visit) (answer, error) {
	view := deliveriesView{Statuses: deliveryStatuses, Modes: []pair{{"", "as the gateway's mode"}, {"true", "live"}, {"false", "test"}}}
	q := func(name string) string { return v.URL.Query().Get(name) }
	a := wantedDeliveries{q("status"), q("partner"), q("endpoint"), q("subject"), q("livemode"), q("type"), local(q("since")), local(q("until"))}
	endpoints, err := v.api.ListEndpoints(v.Context(), client.Page{Limit: 100})
	if err != nil {
		return answer{}, err
	}
	view.Endpoints, view.Asked = endpoints.Data, a
	seen := map[string]bool{}
	for _, e := range endpoints.Data {
		if !seen[e.Partner] && e.Partner != "" && v.who.Scope != api.Partner {
			seen[e.Partner], view.Partners = true, append(view.Partners, e.Partner)
		}
		if a.Subject != "" && a.Endpoint == e.ID {
			a.Partner = cmp.Or(a.Partner, e.Partner)
		}
	}
	wanted := client.Deliveries{Status: a.Status, Endpoint: a.Endpoint, Partner: a.Partner, Subject: a.Subject, Type: a.Type, Since: apiTime(a.Since), Until: apiTime(a.Until)}
	if live := a.Livemode == "true"; a.Livemode != "" {
		wanted.Livemode = &live
	}
	list, err := v.api.ListDeliveries(v.Context(), client.Page{Cursor: q("cursor"), Limit: rowsOfPage}, wanted)
	if denied(err) {
		view.Wrong = said(err)
		return showRefused(err, "deliveries", "Deliveries", view)
	}
	if err != nil {
		return answer{}, err
	}
	view.Rows = rowsOf(list.Data)
	if list.HasMore {
		view.More = to("/console/deliveries", "status", a.Status, "partner", a.Partner, "endpoint", a.Endpoint, "subject", a.Subject, "livemode", a.Livemode, "type", a.Type,
			"since", a.Since, "until", a.Until, "cursor", list.Next)
		view.Short = len(list.Data) < rowsOfPage
	}
	return show("deliveries", "Deliveries", view)
}

// rowsOf are deliveries as a table shows them.
func rowsOf(list []api.Delivery) []deliveryRow {
	rows := make([]deliveryRow, len(list))
	for i := range list {
		rows[i] = rowOf(&list[i])
	}
	return rows
}

func rowOf(d *api.Delivery) deliveryRow {
	return deliveryRow{*d, to("/console/delivery", "id", d.ID), resultOf(d.Reason, d.Code, d.Error), waitsOf(d)}
}

// formTime is an instant as a form has it, in UTC.
const formTime = "2006-01-02T15:04"

// apiTime is what a form says as the API reads it.
func apiTime(text string) string {
	for _, layout := range []string{formTime, formTime + ":05"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.Format(time.RFC3339)
		}
	}
	return text
}

// local is an instant or a day of the API as a form has it.
func local(text string) string {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC().Format(formTime)
		}
	}
	return text
}
