package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
)

// plan lists the kinds of damage, mixed.
func (r *rotting) plan() []string {
	var all []string
	for i := range r.c.Flips {
		all = append(all, flips[i%len(flips)])
	}
	for range r.c.Others {
		all = append(all, others...)
	}
	rng := rand.New(rand.NewPCG(r.c.Seed, 99)) //nolint:gosec // to be repeatable
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

var (
	flips  = []string{"a bit of a record", "a bit of a record", "a bit of a page's header", "a bit of a page's table", "a bit of a meta page", "a bit of a bucket's name", "a bit anywhere"}
	others = []string{"a page zeroed", "a page as it once was", "two pages changed places", "cut off"}
)

// damage returns a damaged copy.
func (r *rotting) damage(rng *rand.Rand, kind string) (bad []byte, how string) {
	const page = 4096
	bad = bytes.Clone(r.base)
	leaf := func() int { // one that is, or once was, in use
		for {
			if at := rng.IntN(len(bad)/page) * page; at >= 2*page && (bad[at+8] == 1 || bad[at+8] == 2) {
				return at
			}
		}
	}
	at := 0
	switch kind {
	case "a bit of a record":
		at = leaf()
		at += page - 1 - rng.IntN(page-16-16*min(200, int(bad[at+10])))
	case "a bit of a page's header":
		at = leaf() + rng.IntN(16)
	case "a bit of a page's table":
		at = leaf()
		at += 16 + rng.IntN(16*max(1, min(200, int(bad[at+10]))))
	case "a bit of a meta page":
		at = rng.IntN(2)*page + rng.IntN(80)
	case "a bit of a bucket's name":
		names := []string{"subjects", "journal", "deliveries", "refs", "timers", "history", "registry"}
		name := []byte(names[rng.IntN(len(names))])
		var places []int
		for i := 0; ; i++ {
			j := bytes.Index(bad[i:], name)
			if j < 0 {
				break
			}
			i += j
			places = append(places, i)
		}
		at = places[rng.IntN(len(places))] + rng.IntN(len(name))
	case "a page zeroed":
		at = leaf()
		clear(bad[at : at+page])
		return bad, fmt.Sprintf("page %d zeroed", at/page)
	case "a page as it once was":
		for range 1000 {
			at = rng.IntN(min(len(bad), len(r.older))/page) * page
			if !bytes.Equal(bad[at:at+page], r.older[at:at+page]) {
				break
			}
		}
		copy(bad[at:at+page], r.older[at:at+page])
		return bad, fmt.Sprintf("page %d as it once was", at/page)
	case "two pages changed places":
		a, b := leaf(), leaf()
		copy(bad[a:a+page], r.base[b:b+page])
		copy(bad[b:b+page], r.base[a:a+page])
		return bad, fmt.Sprintf("pages %d and %d changed places", a/page, b/page)
	case "cut off":
		at = rng.IntN(len(bad))
		return bad[:at], fmt.Sprintf("cut off at %d", at)
	default:
		at = rng.IntN(len(bad))
	}
	bit := rng.IntN(8)
	bad[at] ^= 1 << bit
	return bad, fmt.Sprintf("bit %d of byte %d of page %d", bit, at%page, at/page)
}
