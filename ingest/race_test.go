//go:build race

package ingest

// raced: the race detector keeps a shadow of all memory, so what the process takes says nothing.
const raced = true
