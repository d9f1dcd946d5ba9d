package console

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

// nowView is how the gateway is at this moment.
type nowView struct {
	At       time.Time
	Ready    api.Ready
	Needs    []need
	Numbers  []number
	Refused  []refusedBy
	Measured bool // the rates are known
	Day      bool
	Plots    []plot
}

// number is one that is shown in large.
type number struct {
	Name, Value, Unit, Note string
}

// need is what a person has to see to.
type need struct {
	Count      string
	What, Note string
	Tone       string
	To         string // "": there is no page for it
}

// refusedBy is how many callbacks were refused for one reason.
type refusedBy struct {
	Reason       string
	Minute, Hour string
	All          float64
}

// now shows what goes in and out, what waits, and what needs a person first.
func now(v *visit) (answer, error) {
	at := v.c.ring.latest()
	if at == nil {
		return answer{}, errors.New("the metrics cannot be read")
	}
	ready, err := v.api.Readiness(v.Context())
	if err != nil {
		return answer{}, err
	}
	needs, err := v.needs(at)
	if err != nil {
		return answer{}, err
	}
	hour := v.c.ring.hour()
	view := nowView{At: at.at, Ready: ready, Needs: needs, Day: v.FormValue("range") == "day"}
	minute := before(hour, at, time.Minute)
	view.Measured = minute != nil
	view.Numbers = numbers(at, minute)
	view.Refused = refused(at, minute, before(hour, at, time.Hour))
	samples := hour
	if view.Day {
		samples = v.c.ring.day()
	}
	view.Plots = plots(thin(samples, at, max(1, len(samples)/plotPoints)))
	return show("now", "Now", view)
}

// before is the reading that was made about so long before another one; nil: the process is younger
// than a few samples.
func before(all []*reading, at *reading, long time.Duration) *reading {
	for _, r := range all {
		if d := at.at.Sub(r.at); d <= long+fineEvery/2 && d >= fineEvery {
			return r
		}
	}
	return nil
}

// rate is how much of what is counted there was in a second.
func rate(at, was *reading, name string) float64 {
	if was == nil {
		return math.NaN()
	}
	return (at.sums[name] - was.sums[name]) / at.at.Sub(was.at).Seconds()
}

// perSecond writes a rate.
func perSecond(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case v > 0 && v < 0.01:
		return "< 0.01"
	default:
		return trim(v)
	}
}

func whole(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	if v != math.Trunc(v) {
		return trim(v)
	}
	return count(v)
}

// long writes seconds as an age.
func long(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case v < 1:
		return trim(v) + " s"
	case v < 120:
		return trim(math.Round(v)) + " s"
	case v < 7200:
		return trim(math.Round(v/60)) + " min"
	default:
		return trim(math.Round(v/3600)) + " h"
	}
}

func (r *reading) has(name string) bool { _, ok := r.sums[name]; return ok }

func numbers(at, minute *reading) []number {
	list := []number{
		{"Callbacks in", perSecond(rate(at, minute, "in")), "a second", "over the last minute"},
		{"Refused", perSecond(rate(at, minute, "refused")), "a second", "over the last minute"},
	}
	if at.has("delivered") {
		list = append(
			list,
			number{"Delivered", perSecond(rate(at, minute, "delivered")), "a second", "over the last minute"},
			number{"Failed attempts", perSecond(rate(at, minute, "failed")), "a second", "over the last minute"},
			number{"Pending", whole(at.sums["pending"]), "deliveries", "the oldest: " + long(at.sums["oldest"])},
		)
	}
	share := ""
	if most := at.sums["backlog_max"]; most > 0 {
		share = trim(math.Round(100*at.sums["backlog"]/most)) + " % of what is allowed"
	}
	used := number{"Storage", size(at.sums["file"] - at.sums["free"]), "", ""}
	if most := at.sums["file_max"]; most > 0 {
		used.Note = fmt.Sprintf("%s %% of %s", trim(math.Round(100*(at.sums["file"]-at.sums["free"])/most)), size(most))
	}
	list = append(list, number{"Backlog", whole(at.sums["backlog"]), "records", share}, used)
	if at.has("kafka") {
		list = append(list, number{"Not yet on Kafka", whole(at.sums["kafka"]), "records", "oldest: " + long(at.sums["kafka_age"])})
	}
	return list
}

// refused are the reasons why callbacks were refused, the most frequent first.
func refused(at, minute, hour *reading) (list []refusedBy) {
	since := func(was *reading, reason string) string {
		if was == nil {
			return "–"
		}
		return whole(at.by["refused"][reason] - was.by["refused"][reason])
	}
	for reason, n := range at.by["refused"] {
		if n > 0 {
			list = append(list, refusedBy{reason, since(minute, reason), since(hour, reason), n})
		}
	}
	slices.SortFunc(list, func(a, b refusedBy) int {
		return cmp.Or(cmp.Compare(b.All, a.All), strings.Compare(a.Reason, b.Reason))
	})
	return list
}

// needed are the counts that need a person where they are above zero, the most urgent first.
var needed = []struct{ measure, what, note, tone, page, query string }{
	{"full", "The storage is full", "Callbacks are refused until there is room.", "bad", "", ""},
	{"disabled", "Endpoints disabled", "Nothing is sent to them until somebody re-enables them.", "bad", "/console/endpoints", ""},
	{"breakers", "Endpoints that do not answer", "Their breaker is open: they are probed, and deliveries wait.", "bad", "/console/endpoints", ""},
	{"dead", "Dead-lettered deliveries", "They are not tried again unless somebody retries them.", "bad", "/console/deliveries", "status=dead"},
	{"set_aside", "Damaged persons", "A record of theirs is damaged, and nothing new is sent about them. Rebuild them.", "bad", "/console/damaged", ""},
	{"quarantine", "Callbacks in quarantine", "They could not be translated.", "wait", "/console/quarantine", ""},
	{"unrouted", "Unrouted records", "Nobody knows yet whose they are.", "wait", "/console/unrouted", ""},
	{"contested", "Contested refs", "Two persons claim the same provider's ref.", "wait", "/console/refs", ""},
	{"questions", "Open questions", "A provider has still to confirm a claim.", "wait", "/console/questions", ""},
	{"paused", "Endpoints paused", "Somebody paused them: deliveries wait.", "wait", "/console/endpoints", ""},
	{"keys", "Signing keys about to end", "Within 14 days. Rotate them before.", "wait", "/console/endpoints", ""},
	{"certificates", "Client certificates about to end", "Within 14 days.", "wait", "/console/endpoints", ""},
	{"own_certificate", "The certificate of the callbacks' listener is about to end", "Within 14 days.", "wait", "", ""},
}

// needs are what a person has to see to now.
func (v *visit) needs(at *reading) (list []need, err error) {
	if list, err = v.withheld(at); err != nil {
		return nil, err
	}
	day := v.c.ring.day()
	if n := since(day, at, "held"); n > 0 {
		list = append(list, need{whole(n), "Approvals held by a match", "In the last day. A sanctions or PEP match stands; only an operator releases it.", "bad", v.link("/console/persons", "held=true")})
	}
	for _, n := range needed {
		if c := at.sums[n.measure]; c > 0 {
			list = append(list, need{whole(c), n.what, n.note, n.tone, v.link(n.page, n.query)})
		}
	}
	return list, nil
}

// since is what has been counted since the oldest of the samples, or the start of the process.
func since(day []*reading, at *reading, name string) float64 {
	if len(day) == 0 || at.at.Sub(day[0].at) < 23*time.Hour {
		return at.sums[name]
	}
	return at.sums[name] - day[0].sums[name]
}

// withheld are the rejections and suspensions that an endpoint has not been told of.
func (v *visit) withheld(at *reading) ([]need, error) {
	page, err := v.api.ListWithheld(v.Context(), client.Page{Limit: 100}, "", false)
	if statusOf(err) == http.StatusNotFound || err == nil && len(page.Data) == 0 {
		return nil, nil // none, or a process that tells nobody
	}
	if err != nil {
		return nil, err
	}
	n := whole(float64(len(page.Data)))
	if page.HasMore {
		n += " or more"
	}
	note := "A partner has not been told of a rejection or suspension."
	if age := at.sums["withheld_age"]; age > 0 {
		note += " The oldest waits for " + long(age) + "."
	}
	return []need{{n, "Withheld rejections", note, "bad", v.link("/console/withheld", "")}}, nil
}

// link is an address within the console; "": there is no such page, or not for this token.
func (v *visit) link(path, query string) string {
	for i := range v.c.pages {
		if p := &v.c.pages[i]; p.pattern == "GET "+path && p.sees(v.who.Scope) {
			if query != "" {
				path += "?" + query
			}
			return path
		}
	}
	return ""
}

const plotPoints = 60 // about so many are drawn

// thin is every so many of the samples, counted from the newest, and what is known now.
func thin(all []*reading, at *reading, every int) (kept []*reading) {
	for i := len(all) - 1; i >= 0; i -= every {
		if at.at.Sub(all[i].at) >= fineEvery/2 {
			kept = append(kept, all[i])
		}
	}
	slices.Reverse(kept)
	return append(kept, at)
}

// plots draw the samples.
func plots(all []*reading) (list []plot) {
	times := make([]time.Time, 0, len(all))
	for _, r := range all[min(1, len(all)):] {
		times = append(times, r.at)
	}
	rates := func(name, said string) line {
		l := line{Name: said}
		for i := 1; i < len(all); i++ {
			l.Values = append(l.Values, rate(all[i], all[i-1], name))
		}
		return l
	}
	levels := func(said string, of func(*reading) float64) line {
		l := line{Name: said}
		for i := 1; i < len(all); i++ {
			l.Values = append(l.Values, of(all[i]))
		}
		return l
	}
	sum := func(name string) func(*reading) float64 { return func(r *reading) float64 { return r.sums[name] } }
	last := all[len(all)-1]
	list = append(list, newPlot("in", "Callbacks", "a second", times, perSecond, rates("in", "taken"), rates("refused", "refused")))
	if last.has("delivered") {
		list = append(
			list,
			newPlot("out", "Delivery attempts", "a second", times, perSecond, rates("delivered", "delivered"), rates("failed", "failed")),
			newPlot("pending", "Pending", "deliveries", times, whole, levels("pending", sum("pending"))),
			newPlot("oldest", "Oldest pending delivery", "age", times, long, levels("oldest", sum("oldest"))),
		)
	}
	list = append(
		list,
		newPlot("backlog", "Backlog", "records", times, whole, levels("backlog", sum("backlog"))),
		newPlot("storage", "Storage", "in use", times, size, levels("in use", func(r *reading) float64 { return r.sums["file"] - r.sums["free"] })),
	)
	if last.has("kafka") {
		list = append(list, newPlot("kafka", "Not yet on Kafka", "records", times, whole, levels("records", sum("kafka"))))
	}
	return list
}
