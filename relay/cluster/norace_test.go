//go:build !race

package cluster

const few = 300 // histories
