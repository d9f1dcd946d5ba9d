package console

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

// endpointPages are the pages of where events are sent.
func endpointPages() []page {
	return append([]page{
		{"GET /console/endpoints", "Endpoints", api.Viewer, true, 5 * time.Second, endpoints},
		{"GET /console/endpoint", "", api.Viewer, true, 5 * time.Second, oneEndpoint},
	}, stepped(endpointSteps...)...)
}

// endpointRow is an endpoint of the list.
type endpointRow struct {
	api.Endpoint
	To    string
	State endpointState
}

// endpointState is how an endpoint does, in a word, and more beside it.
type endpointState struct {
	Word  string
	Since time.Time // of a word that has a beginning
	Note  string
}

// endpointsView is a page of the list.
type endpointsView struct {
	Rows []endpointRow
	More string
}

// stateOf says how an endpoint does: what holds it up first.
func stateOf(e *api.Endpoint) endpointState {
	switch {
	case e.Orphaned:
		return endpointState{Word: "orphaned", Note: "not in the config: what is pending waits"}
	case e.Disabled != "":
		return endpointState{Word: "disabled", Note: e.Disabled}
	case e.Paused != nil:
		return endpointState{Word: "paused", Since: e.Paused.At, Note: "by " + e.Paused.By}
	case e.Breaker == "open":
		return endpointState{"failing", e.FailingSince, "breaker open: only probes are sent"}
	case e.Breaker == "half_open":
		return endpointState{"recovering", e.FailingSince, "breaker half open: it gets more and more"}
	case !e.FailingSince.IsZero():
		return endpointState{"failing", e.FailingSince, ""}
	}
	return endpointState{Word: "enabled"}
}

// endpoints lists them.
func endpoints(v *visit) (answer, error) {
	list, err := v.api.ListEndpoints(v.Context(), client.Page{Cursor: v.URL.Query().Get("cursor"), Limit: rowsOfPage})
	if err != nil {
		return answer{}, err
	}
	view := endpointsView{}
	for i := range list.Data {
		e := &list.Data[i]
		view.Rows = append(view.Rows, endpointRow{*e, to("/console/endpoint", "id", e.ID), stateOf(e)})
	}
	if list.HasMore {
		view.More = to("/console/endpoints", "cursor", list.Next)
	}
	return show("endpoints", "Endpoints", view)
}

// endpointView is one endpoint.
type endpointView struct {
	api.EndpointDetail
	State    endpointState
	Orphaned bool
	Config   []fact
	Keys     []keyRowView
	Line     *keyLine
	Next     []link
	Waiting  []deliveryRow // the first that are pending
	Dead     []deliveryRow // the newest that are dead-lettered
	ToList   string
	ToDead   string
	Rotate   string // the page that makes a key
	Declared bool   // the keys are in the config
	Plots    []plot
	NoPlots  string // why there are none
	Day      bool
	Changes  []changeRow // who changed it, the newest first
	ToTrail  string      // where all of them are; "": whoever looks may not see them
}

// changeRow is one call that changed an endpoint, or tried to.
type changeRow struct {
	api.AuditEntry
	What string
}

// changedBy is what a call did to an endpoint.
var changedBy = map[string]string{
	"POST /v1/partners/{id}/endpoints": "made it", "PATCH /v1/endpoints/{id}": "changed its config", "DELETE /v1/endpoints/{id}": "removed it", "DELETE /v1/partners/{id}": "removed it with its partner",
	"POST /v1/endpoints/{id}/pause": "paused it", "POST /v1/endpoints/{id}/resume": "resumed it", "POST /v1/endpoints/{id}/ping": "pinged it", "POST /v1/endpoints/{id}/rotate": "made a new key",
	"POST /v1/endpoints/{id}/keys/{key}/revoke": "revoked a key", "POST /v1/endpoints/{id}/retry-now": "retried what had failed", "POST /v1/endpoints/{id}/give-up": "gave up what was pending",
	"POST /v1/reload": "loaded a config that changes it", "SIGHUP": "loaded a config that changes it",
}

// changes adds who changed it, from the audit trail.
func (view *endpointView) changes(v *visit) error {
	list, err := v.api.ListAudit(v.Context(), client.Page{Limit: shownOfEach}, client.Span{Endpoint: view.ID})
	if err != nil {
		return err
	}
	for i := range list.Data {
		e := &list.Data[i]
		view.Changes = append(view.Changes, changeRow{*e, cmp.Or(changedBy[e.Call], e.Call)})
	}
	view.ToTrail = to("/console/audit", "endpoint", view.ID)
	return nil
}

// keyRowView is one of its keys.
type keyRowView struct {
	api.EndpointKey
	Name   string
	Revoke string // its page; "": it cannot be
}

// shownOfEach is how many deliveries an endpoint's page shows of each kind.
const shownOfEach = 5

// oneEndpoint shows one.
func oneEndpoint(v *visit) (answer, error) {
	id := v.FormValue("id")
	e, err := v.endpoint(id)
	if err != nil {
		return answer{}, err
	}
	view := endpointView{EndpointDetail: e.EndpointDetail, Orphaned: e.Orphaned, State: stateOf(e.listed())}
	view.ToList, view.ToDead = to("/console/deliveries", "endpoint", e.ID), to("/console/deliveries", "endpoint", e.ID, "status", "dead")
	for _, s := range []struct {
		status string
		rows   *[]deliveryRow
	}{{"retrying", &view.Waiting}, {"pending", &view.Waiting}, {"dead", &view.Dead}} {
		if len(*s.rows) >= shownOfEach {
			continue
		}
		list, err := v.api.ListDeliveries(v.Context(), client.Page{Limit: shownOfEach - len(*s.rows)}, client.Deliveries{Status: s.status, Endpoint: e.ID})
		if err != nil {
			return answer{}, err
		}
		*s.rows = append(*s.rows, rowsOf(list.Data)...)
	}
	view.Next = endpointLinks(v, e)
	if !e.Orphaned {
		view.Config = configOf(&e.EndpointDetail)
		if err := view.keys(v); err != nil {
			return answer{}, err
		}
	}
	if v.who.Scope != api.Partner {
		view.Day = v.FormValue("range") == "day"
		view.Plots, view.NoPlots = v.c.ring.plotsOf(e.ID, view.Day)
		if err := view.changes(v); err != nil {
			return answer{}, err
		}
	}
	return show("endpoint", "Endpoint "+e.ID, view)
}

// known is an endpoint that is served, or of which something is kept.
type known struct {
	api.EndpointDetail
	Orphaned bool
	Withheld int
}

// listed is what the list has of it.
func (e *known) listed() *api.Endpoint {
	return &api.Endpoint{
		ID: e.ID, Partner: e.Partner, URL: e.URL, Owed: e.Owed, Dead: e.Dead, Disabled: e.Disabled, Paused: e.Paused, Orphaned: e.Orphaned,
		Breaker: e.Breaker, BreakerOpened: e.BreakerOpened, FailingSince: e.FailingSince, OldestDue: e.OldestDue, OldestPending: e.OldestPending,
	}
}

// endpoint finds one. What is not in the config any more stands in the list only, of which one page
// is asked for.
func (v *visit) endpoint(id string) (*known, error) {
	e, err := v.api.Endpoint(v.Context(), id)
	if err == nil || statusOf(err) != http.StatusNotFound {
		return &known{EndpointDetail: e}, err
	}
	list, other := v.api.ListEndpoints(v.Context(), client.Page{Limit: 1000})
	if other != nil {
		return nil, other
	}
	i := slices.IndexFunc(list.Data, func(e api.Endpoint) bool { return e.ID == id })
	if i < 0 {
		return nil, err
	}
	l := &list.Data[i]
	return &known{api.EndpointDetail{ID: l.ID, Partner: l.Partner, Owed: l.Owed, Dead: l.Dead}, l.Orphaned, l.Withheld}, nil
}

// keys adds what the endpoint signs with.
func (view *endpointView) keys(v *visit) error {
	list, err := v.api.ListKeys(v.Context(), view.ID)
	if err != nil {
		return err
	}
	may := v.operates() || v.who.Scope == api.Partner
	made := false
	for i := range list.Data {
		k := &list.Data[i]
		row := keyRowView{EndpointKey: *k, Name: keyName(k)}
		if made = made || k.From == "made"; may && k.ID != "" && k.Status == "signs" {
			row.Revoke = to("/console/endpoint/revoke", "id", view.ID, "of", k.ID)
		}
		view.Keys = append(view.Keys, row)
	}
	view.Declared = !made && len(list.Data) > 0
	view.Line = keyLineOf(list.Data, v.c.o.Now())
	if may && (made || len(list.Data) == 0) {
		view.Rotate = to("/console/endpoint/rotate", "id", view.ID)
	}
	return nil
}

// configOf is how an endpoint is configured.
func configOf(e *api.EndpointDetail) []fact {
	rate := "no limit"
	if e.Rate > 0 {
		rate = fmt.Sprintf("%v a second", e.Rate)
	}
	r := e.Retry
	facts := []fact{
		{"URL", e.URL},
		{"Format", e.Format},
		{"Events", strings.Join(e.Events, ", ")},
		{"Filter", cmp.Or(e.Filter, "none")},
		{"Concurrency", fmt.Sprintf("%d at once", e.Concurrency)},
		{"Rate", rate},
		{"Timeout", e.Timeout},
		{"Pending at most", count(e.MaxOwed)},
		{"Since", e.Since},
		{"Retries", fmt.Sprintf("%d attempts; the first wait is %s, each is %v times the one before, %s at most, ±%v%%; Retry-After up to %s", r.Attempts, r.First, r.Factor, r.Max, r.Jitter*100, r.MaxRetryAfter)},
		{"Disabled after", e.DisableAfter},
		{"Own headers", cmp.Or(strings.Join(e.Headers, ", "), "none")},
	}
	from := "the config file, and changed there"
	if e.From == "api" {
		from = fmt.Sprintf("the API; version %d, changed %s", e.Version, stamp(e.ChangedAt))
	}
	return append(facts, fact{"Made by", from})
}
