// Package promtest has no code: its tests let Debian's Prometheus scrape the real gateway under a
// load that makes every panel show something, once with classic and once with native histograms,
// and ask what Grafana and the rules would ask. It is a module of its own so that neither
// Prometheus nor an in-process Kafka enters the product's.
//
// The tests stand behind the build tag realprometheus (make test-prometheus), and fail where
// prometheus, promtool, amtool or Python's prometheus_client are missing.
package promtest
