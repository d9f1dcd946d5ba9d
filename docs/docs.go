// Package docs gives the program the parts of its documentation that it shows: so they are written
// once, and tested once.
package docs

import (
	_ "embed"
	"regexp"
)

//go:embed FORMATS.md
var formats string

// Snippet is a program of FORMATS.md that verifies a delivery. It reads headers, an empty line and
// a body from standard input, and answers yes or no; the key stands in KEY.
type Snippet struct {
	Language  string // go, python, javascript, java or php
	Signature string // standard, standard-ed25519, blendfi or blendfi-v1
	Code      string
}

var fence = regexp.MustCompile("(?ms)^```([a-z]+) ([a-z0-9-]+)\n(.*?)^```$")

// Snippets are the programs for one signature, in the order of FORMATS.md. The tests of
// relay/format run every one of them.
func Snippets(signature string) (list []Snippet) {
	for _, m := range fence.FindAllStringSubmatch(formats, -1) {
		if m[2] == signature {
			list = append(list, Snippet{m[1], m[2], m[3]})
		}
	}
	return list
}
