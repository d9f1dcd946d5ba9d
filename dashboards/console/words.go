package console

import (
	"fmt"
	"html/template"
	"net/url"
	"strconv"
	"strings"
	"time"

	"countersign/relay/control/api"
)

// functions are what templates may call.
func (c *Console) functions() template.FuncMap {
	return template.FuncMap{
		"asset": func(name string) string { return c.assets.path(name) },
		"ago":   func(at time.Time) string { return ago(c.o.Now(), at) },
		"stamp": stamp,
		"rfc":   func(at time.Time) string { return at.UTC().Format(time.RFC3339Nano) },
		"tone":  tone,
		"word":  word,
		"short": short,
		"long":  func(id string) bool { return short(id) != id },
		"bytes": func(n any) string { f, _ := strconv.ParseFloat(fmt.Sprint(n), 64); return size(f) },
		"count": count,
		"query": query,
		"list":  func(all ...any) []any { return all },
		"join":  strings.Join,

		"reasons": reasons,
		"meaning": meaning,
		"waits":   waits,
		"answers": answers,
		"why":     why,
		"person":  func(partner, id string, livemode bool) string { return personPath(partner, id, livemode) },

		"kept":    quarantineReason,
		"to":      to,
		"instant": formInstant,

		"title":     func(u api.Update) string { _, title := titleOf(&u); return title },
		"toldTitle": func(d *api.Outcome) string { return toldTitle(d) },
	}
}

// stamp is an instant as people read it.
func stamp(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05") + " UTC" }

// ago says how long an instant has passed, or is still to come.
func ago(now, at time.Time) string {
	d := now.Sub(at)
	if d < 0 {
		if d > -time.Second {
			return "now"
		}
		return "in " + span(-d)
	}
	if d < time.Second {
		return "now"
	}
	return span(d) + " ago"
}

// span is a duration in its largest unit.
func span(d time.Duration) string {
	n, unit := int64(d/time.Second), "second"
	switch {
	case d >= 48*time.Hour:
		n, unit = int64(d/(24*time.Hour)), "day"
	case d >= time.Hour:
		n, unit = int64(d/time.Hour), "hour"
	case d >= time.Minute:
		n, unit = int64(d/time.Minute), "minute"
	}
	if n != 1 {
		unit += "s"
	}
	return strconv.FormatInt(n, 10) + " " + unit
}

// tones are the colours that words have, beside the words themselves.
var tones = map[string]string{
	"approved": "good", "delivered": "good", "done": "good", "closed": "good", "active": "good", "applied": "good", "ready": "good", "accepted": "good", "enabled": "good", "signs": "good", "finished": "good",
	"rejected": "bad", "suspended": "bad", "dead": "bad", "failed": "bad", "open": "bad", "disabled": "bad", "revoked": "bad", "dead-lettered": "bad", "failing": "bad", "orphaned": "bad", "held": "bad", "set_aside": "bad",
	"in_review": "wait", "pending": "wait", "retrying": "wait", "half_open": "wait", "paused": "wait", "parked": "wait", "retry": "wait", "recovering": "wait", "counting": "wait", "running": "wait", "unrouted": "wait", "ambiguous": "wait",
	"expired": "old", "cancelled": "old", "stale": "old", "superseded": "old", "duplicate": "old", "overruled": "old",
}

func tone(word string) string {
	if t, ok := tones[word]; ok {
		return t
	}
	return "plain"
}

// word is how a word of the API is said to people.
func word(w string) string {
	switch w {
	case "":
		return "unknown"
	case "subject":
		return "person"
	case "exhausted":
		return "all attempts failed"
	case "dead":
		return "dead-lettered"
	case "done":
		return "delivered"
	}
	return strings.Replace(strings.ReplaceAll(w, "_", " "), "pep ", "PEP ", 1)
}

// short is an id as a table shows it: its beginning and its end.
func short(id string) string {
	r := []rune(id)
	if len(r) <= 22 {
		return id
	}
	return string(r[:12]) + "…" + string(r[len(r)-8:])
}

func size(n float64) string {
	for _, u := range []string{"B", "KiB", "MiB", "GiB"} {
		if n < 1024 {
			return trim(n) + " " + u
		}
		n /= 1024
	}
	return trim(n) + " TiB"
}

// trim is a number with three digits that matter.
func trim(n float64) string {
	switch {
	case n >= 100 || n == float64(int64(n)):
		return strconv.FormatFloat(n, 'f', 0, 64)
	case n >= 10:
		return strconv.FormatFloat(n, 'f', 1, 64)
	default:
		return strconv.FormatFloat(n, 'f', 2, 64)
	}
}

// count is a number of things, with its thousands apart.
func count(n any) string {
	s := fmt.Sprint(n)
	if f, ok := n.(float64); ok {
		s = strconv.FormatFloat(f, 'f', 0, 64)
	}
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// query is a query of pairs; what is empty is left out.
func query(pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q.Encode()
}
