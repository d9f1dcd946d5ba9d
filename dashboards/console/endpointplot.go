package console

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// mostEndpoints is how many endpoints have plots of their own: their samples are 24 bytes each, so
// all of them are 3.5 MB.
const mostEndpoints = 200

// tally is what is counted of an endpoint up to an instant.
type tally struct {
	done, failed float64 // attempts
	seconds      float64 // that all of them took
}

// places says where an endpoint's tally stands in a reading. Whoever came first keeps its place
// until it is gone.
type places struct {
	mu  sync.Mutex // guards what follows
	of  map[string]place
	cut bool // there are more endpoints than places
}

type place struct {
	at    int
	since time.Time // before, it was another's
}

// tallied reads what is counted of each endpoint.
func tallied(found map[string]*dto.MetricFamily) map[string]tally {
	all := map[string]tally{}
	for _, one := range found[attemptsFamily].GetMetric() {
		id := label(one, "endpoint")
		t := all[id]
		if v := value(one); label(one, "outcome") == "done" {
			t.done += v
		} else {
			t.failed += v
		}
		all[id] = t
	}
	for _, one := range found[secondsFamily].GetMetric() {
		id := label(one, "endpoint")
		t := all[id]
		t.seconds += one.GetSummary().GetSampleSum()
		all[id] = t
	}
	return all
}

// take makes the tallies of a reading.
func (ps *places) take(found map[string]*dto.MetricFamily, now time.Time) []tally {
	all := tallied(found)
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.of == nil {
		ps.of = map[string]place{}
	}
	var free [mostEndpoints]bool
	for i := range free {
		free[i] = true
	}
	for id, p := range ps.of {
		if _, in := all[id]; !in {
			delete(ps.of, id)
			continue
		}
		free[p.at] = false
	}
	ps.cut = false
	next := 0
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if _, has := ps.of[id]; has {
			continue
		}
		for next < len(free) && !free[next] {
			next++
		}
		if ps.cut = next == len(free); ps.cut {
			break
		}
		ps.of[id], free[next] = place{next, now}, false
	}
	each := make([]tally, 0, len(all))
	for id, p := range ps.of {
		for len(each) <= p.at {
			each = append(each, tally{})
		}
		each[p.at] = all[id]
	}
	return each
}

// find says where an endpoint's tallies stand.
func (ps *places) find(id string) (p place, ok, cut bool) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p, ok = ps.of[id]
	return p, ok, ps.cut
}

// plotsOf draws how an endpoint has done, or says why it does not.
func (r *ring) plotsOf(id string, day bool) (list []plot, why string) {
	at := r.latest()
	p, ok, cut := r.places.find(id)
	switch {
	case at == nil:
		return nil, "The metrics cannot be read."
	case !ok && cut:
		return nil, fmt.Sprintf("There are more than %d endpoints. Those that came later have no plots here; their metrics have all of them.", mostEndpoints)
	case !ok:
		return nil, "Nothing is measured of the endpoint yet."
	}
	samples := r.hour()
	if day {
		samples = r.day()
	}
	var times []time.Time
	var share, mean, rate line
	share.Name, mean.Name, rate.Name = "accepted", "mean", "attempts"
	var was *reading
	for _, now := range thin(samples, at, max(1, len(samples)/plotPoints)) {
		if now.at.Before(p.since) || len(now.each) <= p.at {
			continue
		}
		if was != nil {
			a, b := was.each[p.at], now.each[p.at]
			n := b.done + b.failed - a.done - a.failed
			times = append(times, now.at)
			rate.Values = append(rate.Values, n/now.at.Sub(was.at).Seconds())
			if n > 0 {
				share.Values = append(share.Values, 100*(b.done-a.done)/n)
				mean.Values = append(mean.Values, 1000*(b.seconds-a.seconds)/n)
			} else { // nothing was tried
				share.Values, mean.Values = append(share.Values, math.NaN()), append(mean.Values, math.NaN())
			}
		}
		was = now
	}
	return []plot{
		newPlot("share", "Accepted attempts", "percent", times, percent, share),
		newPlot("latency", "Time of an attempt", "milliseconds", times, millis, mean),
		newPlot("attempts", "Attempts", "a second", times, perSecond, rate),
	}, ""
}

func percent(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return trim(v) + " %"
}

func millis(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return trim(v)
}
