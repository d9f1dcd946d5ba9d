//go:build race

package signing

// raceEnabled: under the race detector a sync.Pool drops items at random, so allocations cannot be
// counted.
const raceEnabled = true
