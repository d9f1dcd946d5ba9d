package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"countersign/ingest/provider"
)

// template is a sample cut into its parts, for filling one in must cost next to nothing beside the
// gateway that shares the machine.
type template struct{ parts []part }

// part is fixed text, or one of the words that differ from call to call.
type part struct {
	word   word
	text   string // word fixed
	layout string // word at
	days   int    // word at: so much later
	years  int
}

type word byte

const (
	fixed word = iota
	wordSubject
	wordRef
	wordSession
	wordEvent
	wordRevision
	wordAt
)

// Times that are numbers, in place of a layout.
const (
	unixSeconds = "unix"
	unixMillis  = "unix-ms"
)

// cut makes a template of a sample: it has the sample filled in with words that nothing else
// contains, finds them again, and compares the outcome with what the samples say of other words.
func cut(adapter, sample string) (*template, error) {
	marks := provider.SampleVars{
		Subject: "mark-subject", ProviderRef: "mark-ref", SessionRef: "mark-session", EventID: "mark-event", Revision: 918273645,
		At: time.Date(2003, 2, 1, 4, 5, 6, 789e6, time.UTC),
	}
	body, err := provider.Sample(adapter, sample, marks)
	if err != nil {
		return nil, err
	}
	t := &template{}
	words := markedWords(&marks)
	rest, from := string(body), 0
	for i := 0; i < len(rest); {
		mark := "" // the longest that stands here: seconds begin what milliseconds are
		for text := range words {
			if len(text) > len(mark) && strings.HasPrefix(rest[i:], text) {
				mark = text
			}
		}
		if mark == "" {
			i++
			continue
		}
		t.parts = append(t.parts, part{text: rest[from:i]}, words[mark])
		i += len(mark)
		from = i
	}
	t.parts = append(t.parts, part{text: rest[from:]})
	other := provider.SampleVars{
		Subject: "s", ProviderRef: "r", SessionRef: "i", EventID: "e", Revision: 2, At: time.Date(2026, 12, 31, 23, 59, 58, 1e6, time.UTC),
	}
	want, err := provider.Sample(adapter, sample, other)
	if err != nil {
		return nil, err
	}
	if got := t.appendTo(nil, &other); string(got) != string(want) {
		return nil, fmt.Errorf("sample %s/%s differs from call to call in a way this program does not know: %s, want %s", adapter, sample, got, want)
	}
	return t, nil
}

// markedWords are the texts the marks turn into.
func markedWords(v *provider.SampleVars) map[string]part {
	words := map[string]part{
		v.Subject:                     {word: wordSubject},
		v.ProviderRef:                 {word: wordRef},
		v.SessionRef:                  {word: wordSession},
		v.EventID:                     {word: wordEvent},
		strconv.Itoa(v.Revision):      {word: wordRevision},
		v.At.Format(time.RFC3339Nano): {word: wordAt, layout: "2006-01-02T15:04:05.000Z"},

		strconv.FormatInt(v.At.Unix(), 10):         {word: wordAt, layout: unixSeconds},
		strconv.FormatInt(v.At.UnixMilli(), 10):    {word: wordAt, layout: unixMillis},
		v.At.Format("2006-01-02T15:04:05.000000Z"): {word: wordAt, layout: "2006-01-02T15:04:05.000000Z"},
	}
	for _, layout := range []string{"2006-01-02 15:04:05+0000", "2006-01-02 15:04:05.000", "2006-01-02T15:04:05Z"} {
		for _, p := range []part{{}, {days: 7}, {years: 1}, {years: -1}} {
			p.word, p.layout = wordAt, layout
			words[v.At.AddDate(p.years, 0, p.days).Format(layout)] = p
		}
	}
	return words
}

// appendTo fills the template in. The values are our own and need no escaping.
func (t *template) appendTo(b []byte, v *provider.SampleVars) []byte {
	for i := range t.parts {
		switch p := &t.parts[i]; p.word {
		case wordSubject:
			b = append(b, v.Subject...)
		case wordRef:
			b = append(b, v.ProviderRef...)
		case wordSession:
			b = append(b, v.SessionRef...)
		case wordEvent:
			b = append(b, v.EventID...)
		case wordRevision:
			b = strconv.AppendInt(b, int64(v.Revision), 10)
		case wordAt:
			at := v.At
			if p.days != 0 || p.years != 0 {
				at = at.AddDate(p.years, 0, p.days)
			}
			switch p.layout {
			case unixSeconds:
				b = strconv.AppendInt(b, at.Unix(), 10)
			case unixMillis:
				b = strconv.AppendInt(b, at.UnixMilli(), 10)
			default:
				b = at.AppendFormat(b, p.layout)
			}
		default:
			b = append(b, p.text...)
		}
	}
	return b
}
