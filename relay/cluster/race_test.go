//go:build race

package cluster

const few = 25 // histories
