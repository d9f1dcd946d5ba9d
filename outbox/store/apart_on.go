//go:build fault_apart

package store

// apart: a crash finds changes of which nothing says who made them.
const apart = true
