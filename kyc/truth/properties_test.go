package truth

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

func scale(n int) int {
	if m, err := strconv.Atoi(os.Getenv("SCALE")); err == nil {
		return n * m
	}
	return n
}

// Every property holds of the definition.
func TestProperties(t *testing.T) {
	tell := func(h History, p Policy, _ time.Duration, now time.Time) (Status, time.Time) { return h.Tell(p, now) }
	for _, p := range Properties() {
		t.Run(p.Name, func(t *testing.T) {
			for seed := range uint64(scale(p.Tries)) {
				if err := p.Holds(rand.New(rand.NewPCG(seed, 77)), tell); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		})
	}
}
