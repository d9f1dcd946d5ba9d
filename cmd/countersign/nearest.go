package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"countersign/ingest/provider"
	"countersign/relay/control/client"
	"countersign/relay/format"
)

// nearest is the word that somebody may have meant who wrote another one: it begins so, or differs
// in a few letters, of two that stand the wrong way round as one. "": none, or several that are as
// near.
func nearest[T ~string](word string, known []T) string {
	word = strings.ToLower(word)
	best, least, others := "", max(1, len([]rune(word))/3)+1, 0
	for _, k := range known {
		candidate := string(k)
		far := distance(word, strings.ToLower(candidate))
		if len(word) >= 3 && strings.HasPrefix(strings.ToLower(candidate), word) {
			far = min(far, 1)
		}
		switch {
		case far < least:
			best, least, others = candidate, far, 0
		case far == least && candidate != best:
			others++
		}
	}
	if others > 0 {
		return ""
	}
	return best
}

// didYouMean asks that; "": no word is near.
func didYouMean[T ~string](word string, known []T) string {
	if best := nearest(word, known); best != "" {
		return "did you mean " + best + "? "
	}
	return ""
}

// longestWord is more letters than any word has that is worth a guess.
const longestWord = 64

// distance is how many letters have to be put in, taken out, replaced or swapped with their
// neighbour to make one word of another.
func distance(a, b string) int {
	from, to := []rune(a), []rune(b)
	if len(from) > longestWord || len(to) > longestWord {
		return max(len(from), len(to))
	}
	before, last := make([]int, len(to)+1), make([]int, len(to)+1)
	for j := range last {
		last[j] = j
	}
	for i := range from {
		row := make([]int, len(to)+1)
		row[0] = i + 1
		for j := range to {
			cost := 1
			if from[i] == to[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && from[i] == to[j-1] && from[i-1] == to[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(to)]
}

// sortedSet is the words of a set.
func sortedSet(set map[string]bool) (words []string) {
	for w, is := range set {
		if is {
			words = append(words, w)
		}
	}
	slices.Sort(words)
	return words
}

// formatNames and providerNames are what this program knows.
func formatNames() (names []string) {
	for _, f := range format.All {
		names = append(names, f.Name)
	}
	return names
}

func providerNames() (names []string) {
	for _, a := range provider.All {
		names = append(names, a.Name)
	}
	return append(names, provider.GenericName)
}

func unknownProvider(name string) error {
	return fmt.Errorf("provider %s is not in this program; %ssee countersign providers", name, didYouMean(name, providerNames()))
}

func unknownFormat(name string) error {
	return fmt.Errorf("format %s is not in this program; %ssee countersign formats", name, didYouMean(name, formatNames()))
}

// guess is an id that the gateway knows and that somebody may have meant who named one that it does
// not know; "": none. It asks the gateway, for a short time.
func (c *console) guess(k *kong.Context) string {
	selected := k.Selected()
	if c.asked == nil || selected == nil {
		return ""
	}
	word, of := "", ""
	for _, p := range selected.Positional {
		switch kind := selected.Path(); {
		case p.Name == "partner":
			word, of = p.Target.String(), "partner"
		case p.Name == "id" && strings.HasPrefix(kind, "endpoints "), p.Name == "id" && strings.HasPrefix(kind, "partners "):
			word, of = p.Target.String(), strings.TrimSuffix(strings.Fields(kind)[0], "s")
		default:
			continue
		}
		break
	}
	ctx, cancel := context.WithTimeout(c.ctx, 3*time.Second)
	defer cancel()
	var ids []string
	page := client.Page{Limit: 1000}
	switch of {
	case "partner":
		l, _ := c.asked.ListPartners(ctx, page) // no guess then
		for i := range l.Data {
			ids = append(ids, l.Data[i].ID)
		}
	case "endpoint":
		l, _ := c.asked.ListEndpoints(ctx, page)
		for i := range l.Data {
			ids = append(ids, l.Data[i].ID)
		}
	}
	if slices.Contains(ids, word) { // it is something else that is unknown
		return ""
	}
	return nearest(word, ids)
}
