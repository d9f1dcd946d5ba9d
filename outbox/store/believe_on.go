//go:build fault_believe

package store

// believe takes the disk at its word: what must never happen, built only to see the damage tests go
// red.
const believe = true
