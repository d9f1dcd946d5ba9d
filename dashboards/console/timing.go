package console

import (
	"strconv"
	"strings"
	"time"

	"countersign/relay/control/api"
)

// barWidth is how wide the drawing of an attempt's time is, in its own units.
const barWidth = 240

// bar is where the time of an attempt went: a drawing, and the same in words.
type bar struct {
	Parts []barPart
	Says  string
	Total string
}

// barPart is one phase of it. They follow each other.
type barPart struct {
	Name, Kind, Took string
	X, Width         string
}

// barOf draws an attempt. What is no phase of its own comes last: waiting for a connection, and the
// rest of the answer.
func barOf(t *api.Try) (b bar) {
	if t.TookMS <= 0 {
		return b
	}
	b.Total = took(t.TookMS)
	rest, x := t.TookMS, 0.0
	said := []string{"took " + b.Total}
	for _, p := range []struct {
		name, kind string
		ms         float64
	}{{"DNS", "dns", t.DNSMS}, {"connect", "connect", t.ConnectMS}, {"TLS", "tls", t.TLSMS}, {"first byte", "first", t.FirstByteMS}, {"other", "other", 0}} {
		ms := p.ms
		if p.kind == "other" {
			ms = rest
		}
		if ms = min(ms, rest); ms <= 0 {
			continue
		}
		rest -= ms
		width := barWidth * ms / t.TookMS
		b.Parts = append(b.Parts, barPart{p.name, p.kind, took(ms), decimal(x), decimal(width)})
		x += width
		said = append(said, p.name+" "+took(ms))
	}
	b.Says = strings.Join(said, ", ")
	return b
}

func decimal(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }

// took is how long something lasted, of milliseconds.
func took(ms float64) string {
	switch {
	case ms >= 10_000:
		return trim(ms/1000) + " s"
	case ms < 1:
		return strconv.FormatFloat(ms, 'f', 2, 64) + " ms"
	}
	return trim(ms) + " ms"
}

// keyWidth and keyRow are the size of the drawing of keys, in its own units.
const (
	keyWidth = 720
	keyRow   = 38
	keyTop   = 6
	keyFoot  = 20
)

// keyLine is the keys of an endpoint over time: a drawing, and the same in words.
type keyLine struct {
	Width, Height     int
	Now, Bottom, Foot string
	NowAnchor         string
	From, To          string // the days at its ends
	Keys              []keyBar
	Says              string
	Overlap           bool // more than one signs
}

// keyBar is one key of it.
type keyBar struct {
	Name, Kind  string
	X, Y, Width string
	TextY       string
	Says        string
}

// keyLineOf draws keys, the newest first. A key whose beginning is not known begins at the left, and
// one that signs for good goes on to the right.
func keyLineOf(keys []api.EndpointKey, now time.Time) *keyLine {
	if len(keys) == 0 {
		return nil
	}
	from, until := now.Add(-time.Hour), now.Add(time.Hour)
	for i := range keys {
		k := &keys[i]
		if !k.MadeAt.IsZero() && k.MadeAt.Before(from) {
			from = k.MadeAt
		}
		if k.Until.After(until) {
			until = k.Until
		}
	}
	span := until.Sub(from)
	from, until = from.Add(-span/10), until.Add(span/10)
	x := func(at time.Time) float64 { return keyWidth * float64(at.Sub(from)) / float64(until.Sub(from)) }
	l := &keyLine{Width: keyWidth, Height: keyTop + keyRow*len(keys) + keyFoot, Now: decimal(x(now)), From: keyDay(from, span), To: keyDay(until, span), NowAnchor: "middle"}
	l.Bottom, l.Foot = strconv.Itoa(l.Height-keyFoot+2), strconv.Itoa(l.Height-5)
	if at := x(now); at < keyWidth/5 {
		l.NowAnchor, l.From = "start", "" // they would stand on each other
	} else if at > keyWidth*4/5 {
		l.NowAnchor, l.To = "end", ""
	}
	signing := 0
	said := []string{}
	for i := range keys {
		k := &keys[i]
		b := keyBar{Name: keyName(k), Kind: k.Status, Y: strconv.Itoa(keyTop + keyRow*i + 16), TextY: strconv.Itoa(keyTop + keyRow*i + 11)}
		begin, end := 0.0, float64(keyWidth)
		if !k.MadeAt.IsZero() {
			begin = max(x(k.MadeAt), 0)
		}
		if !k.Until.IsZero() {
			end = x(k.Until)
		}
		b.X, b.Width, b.Says = decimal(begin), decimal(max(end-begin, 2)), keySays(k)
		if k.Status == "signs" {
			signing++
		}
		said = append(said, b.Name+": "+b.Says)
		l.Keys = append(l.Keys, b)
	}
	l.Overlap, l.Says = signing > 1, "Keys over time. "+strings.Join(said, ". ")+"."
	return l
}

func keyName(k *api.EndpointKey) string {
	if k.ID == "" {
		return "key of the config"
	}
	return k.ID
}

func keySays(k *api.EndpointKey) string {
	said := "signs"
	if k.Status != "signs" {
		said = "ended"
	}
	if !k.MadeAt.IsZero() {
		said += ", made " + k.MadeAt.UTC().Format("2006-01-02 15:04")
	}
	if k.Until.IsZero() {
		return said + ", no end"
	}
	return said + ", until " + k.Until.UTC().Format("2006-01-02 15:04")
}

func keyDay(at time.Time, span time.Duration) string {
	if span < 48*time.Hour {
		return at.UTC().Format("2006-01-02 15:04")
	}
	return at.UTC().Format("2006-01-02")
}
