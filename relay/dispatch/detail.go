package dispatch

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/outbox"
)

// detail is what is counted of one endpoint, and asked for rarely: in the scrape of a thousand
// endpoints it would be most of what there is. It costs memory only for what has happened.
type detail struct {
	repeated atomic.Uint64

	mu      sync.Mutex // guards the fields below
	reasons map[string]uint64
	buckets [attemptBounds]uint64 // of attempts that took at most as long, and longer than the bucket before
	count   uint64
	sum     float64 // seconds
}

// attemptBuckets are the bounds of how long an attempt took, in seconds.
var attemptBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30}

const attemptBounds = 13

func newDetail() *detail { return &detail{reasons: map[string]uint64{}} }

func (d *detail) settled(a *outbox.Attempt) {
	took := a.Took.Seconds()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reasons[a.Reason]++
	if a.Took == 0 {
		return // it died without a try
	}
	d.count++
	d.sum += took
	if i, _ := slices.BinarySearch(attemptBuckets, took); i < len(d.buckets) {
		d.buckets[i]++
	}
}

var (
	detailReasons  = prometheus.NewDesc("relay_endpoint_attempt_reasons_total", "Delivery attempts at one endpoint since this process knows it, by reason.", []string{"endpoint", "reason"}, nil)
	detailSeconds  = prometheus.NewDesc("relay_endpoint_attempt_duration_seconds", "Time of one delivery attempt at one endpoint.", []string{"endpoint"}, nil)
	detailRepeated = prometheus.NewDesc("relay_endpoint_repeated_requests_total", "Requests to one endpoint sent a second time at once, within the same attempt.", []string{"endpoint"}, nil)
)

// detailOf is a prometheus.Collector of one endpoint's detail.
type detailOf struct {
	endpoint string
	d        *detail
}

// Describe implements prometheus.Collector.
func (detailOf) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{detailReasons, detailSeconds, detailRepeated} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (o detailOf) Collect(ch chan<- prometheus.Metric) {
	o.d.mu.Lock()
	counted := maps.Clone(o.d.reasons)
	buckets, below := map[float64]uint64{}, uint64(0)
	for i, n := range o.d.buckets {
		below += n
		buckets[attemptBuckets[i]] = below
	}
	count, sum := o.d.count, o.d.sum
	o.d.mu.Unlock()
	for _, reason := range reasons() {
		ch <- prometheus.MustNewConstMetric(detailReasons, prometheus.CounterValue, float64(counted[reason]), o.endpoint, reason)
	}
	ch <- prometheus.MustNewConstHistogram(detailSeconds, count, sum, buckets, o.endpoint)
	ch <- prometheus.MustNewConstMetric(detailRepeated, prometheus.CounterValue, float64(o.d.repeated.Load()), o.endpoint)
}

// Detail gathers what is counted of one endpoint alone; outbox.ErrNotFound: there is none of that
// id.
func (d *Dispatcher) Detail(endpoint string) (prometheus.Gatherer, error) {
	s := d.sender(endpoint)
	if s == nil {
		return nil, fmt.Errorf("endpoint %s: %w", endpoint, outbox.ErrNotFound)
	}
	reg := prometheus.NewRegistry()
	prometheus.WrapRegistererWithPrefix("countersign_", reg).MustRegister(detailOf{endpoint, s.detail})
	return reg, nil
}
