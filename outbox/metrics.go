package outbox

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics are those of all the outboxes that were made with them, one for each partition: of an
// endpoint, what is counted is the sum over them, and what is oldest the oldest of all. They are safe
// for concurrent use.
type Metrics struct {
	putDown       *prometheus.CounterVec
	settleRetries prometheus.Counter

	mu  sync.Mutex // guards all
	all []*Outbox
}

// Leave is for an outbox whose partition is somebody else's: it is counted no more.
func (m *Metrics) Leave(b *Outbox) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = slices.DeleteFunc(m.all, func(other *Outbox) bool { return other == b })
}

func (m *Metrics) join(b *Outbox) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = append(m.all, b)
}

// outboxes are those that are counted now.
func (m *Metrics) outboxes() []*Outbox {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.all)
}

// ownReasons are the ways to die that the outbox itself decides; those of an answer are counted by
// the relay.
var ownReasons = []string{Overflow, Overtaken, Removed, Damaged, ReasonGivenUp, ReasonSkipped}

// NewMetrics registers them; nil: nowhere.
func NewMetrics(r prometheus.Registerer) *Metrics {
	f := promauto.With(r)
	m := &Metrics{
		putDown: f.NewCounterVec(prometheus.CounterOpts{
			Name: "outbox_dead_lettered_total", Help: "Deliveries that the gateway dead-lettered without a further attempt, by reason.",
		}, []string{"reason"}),
		settleRetries: f.NewCounter(prometheus.CounterOpts{
			Name: "outbox_settle_retries_total", Help: "Times the results of attempts could not be written to the database. The write is repeated.",
		}),
	}
	for _, reason := range ownReasons {
		m.putDown.WithLabelValues(reason)
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "outbox_unwritten_results", Help: "Results of attempts that wait to be written to the file. At 8192, no new attempt begins until half of them are written.",
	}, m.unwritten)
	if r != nil {
		r.MustRegister(&collector{m})
	}
	return m
}

func (m *Metrics) unwritten() (n float64) {
	for _, b := range m.outboxes() {
		n += float64(b.unsettled.Load())
	}
	return n
}

func (m *Metrics) died(reason string) {
	for _, own := range ownReasons {
		if own == reason {
			m.putDown.WithLabelValues(reason).Inc()
		}
	}
}

var (
	owedDesc     = prometheus.NewDesc("outbox_pending_deliveries", "Pending deliveries, by endpoint.", []string{"endpoint"}, nil)
	limitDesc    = prometheus.NewDesc("outbox_max_pending_deliveries", "Pending deliveries that an endpoint may have (max_owed). Beyond it deliveries are dead-lettered as overflow.", []string{"endpoint"}, nil)
	deadDesc     = prometheus.NewDesc("outbox_dead_lettered_deliveries", "Dead-lettered deliveries that are kept, by endpoint.", []string{"endpoint"}, nil)
	dueDesc      = prometheus.NewDesc("outbox_oldest_due_seconds", "How long the first due delivery has been due, by endpoint; 0: nothing is due.", []string{"endpoint"}, nil)
	pendingDesc  = prometheus.NewDesc("outbox_oldest_pending_seconds", "Age of the oldest pending delivery, due or not, by endpoint, counted from when the callback or order that caused it was received; 0: none is pending.", []string{"endpoint"}, nil)
	withheldDesc = prometheus.NewDesc("outbox_oldest_withheld_rejection_seconds", "Age of the oldest rejection or suspension that the partner has not accepted and no operator has acknowledged, pending or dead-lettered, by endpoint, counted from when the callback or order that caused it was received. Endpoints that are not in the config are included. 0: there is none.", []string{"endpoint"}, nil)
)

// collector reads kept counts and does a few look-ups for each endpoint; it never walks what is owed.
type collector struct{ m *Metrics }

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{owedDesc, limitDesc, deadDesc, dueDesc, pendingDesc, withheldDesc} {
		ch <- d
	}
}

// shown is what is shown of one endpoint.
type shown struct {
	owed, limit, dead      int64
	due, pending, withheld float64 // seconds
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	served := map[string]*shown{}
	var orphans []orphanWithheld
	outboxes := c.m.outboxes()
	for _, b := range outboxes {
		b.showIn(served)
		orphans = append(orphans, b.orphansWithheld()...)
	}
	gauge := func(d *prometheus.Desc, v float64, id string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, id)
	}
	for id, s := range served {
		gauge(owedDesc, float64(s.owed), id)
		gauge(limitDesc, float64(s.limit), id)
		gauge(deadDesc, float64(s.dead), id)
		gauge(dueDesc, s.due, id)
		gauge(pendingDesc, s.pending, id)
		gauge(withheldDesc, s.withheld, id)
	}
	for _, o := range bound(oldestOf(orphans)) {
		if served[o.endpoint] == nil { // else it has come, or gone, in this moment
			gauge(withheldDesc, outboxes[0].age(o.since), o.endpoint)
		}
	}
}

// showIn adds what the outbox has of each endpoint that it serves.
func (b *Outbox) showIn(all map[string]*shown) {
	for id, l := range *b.lanes.Load() {
		if !l.served.Load() {
			continue
		}
		s := all[id]
		if s == nil {
			s = &shown{}
			all[id] = s
		}
		owed, dead := b.counts(id)
		s.owed, s.limit, s.dead = s.owed+owed, s.limit+l.maxOwed.Load(), s.dead+dead
		s.due = max(s.due, b.age(b.OldestDue(id)))
		s.pending = max(s.pending, b.age(b.OldestPending(id)))
		s.withheld = max(s.withheld, b.age(b.OldestWithheld(id)))
	}
}

// age is how long ago that was, in seconds; 0: it never was.
func (b *Outbox) age(at time.Time) float64 {
	if at.IsZero() {
		return 0
	}
	return max(0, b.o.Now().Sub(at).Seconds())
}

// oldestOf has each endpoint once, in their order.
func oldestOf(list []orphanWithheld) []orphanWithheld {
	slices.SortFunc(list, func(a, b orphanWithheld) int {
		return cmp.Or(strings.Compare(a.endpoint, b.endpoint), a.since.Compare(b.since))
	})
	return slices.CompactFunc(list, func(a, b orphanWithheld) bool { return a.endpoint == b.endpoint })
}

const (
	maxOrphans   = 32         // endpoints that are not in the config and have a series of their own
	otherOrphans = "(others)" // all the rest; no endpoint has such an id
)

// bound makes one of all that are beyond maxOrphans.
func bound(list []orphanWithheld) []orphanWithheld {
	if len(list) <= maxOrphans {
		return list
	}
	rest := orphanWithheld{otherOrphans, list[maxOrphans].since}
	for _, s := range list[maxOrphans:] {
		if s.since.Before(rest.since) {
			rest.since = s.since
		}
	}
	return append(list[:maxOrphans:maxOrphans], rest)
}
