// Package ruletest has no code: its tests run the alerts of countersign/dashboards in Prometheus's
// own rule engine, and its own parser over the dashboards. It is a module of its own so that
// Prometheus never enters the product's.
package ruletest
