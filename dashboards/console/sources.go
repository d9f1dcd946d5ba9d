package console

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

// maxPasted is how long a callback may be that is pasted, headers and body together, in bytes.
const maxPasted = 256 << 10

func sourcePages() []page {
	return []page{
		{"GET /console/sources", "Sources", api.Viewer, false, 0, sources},
		{"GET /console/source", "", api.Viewer, false, 0, source},
		{"POST /console/source", "", api.Operator, false, 0, explain},
	}
}

// sourceRow is a source in the list.
type sourceRow struct {
	api.Source
	Taken, Refused uint64
	SourceTaken    time.Time // when the last one was taken
}

// takenVerdicts are those of callbacks that were dealt with.
var takenVerdicts = []string{"accepted", "ignored", "quarantined", "handshake"}

func sourceRowOf(s api.Source) sourceRow {
	row := sourceRow{Source: s, SourceTaken: s.Taken}
	for verdict, n := range s.Verdicts {
		if slices.Contains(takenVerdicts, verdict) {
			row.Taken += n
		} else {
			row.Refused += n
		}
	}
	return row
}

// sources lists where callbacks come from.
func sources(v *visit) (answer, error) {
	l, err := v.api.ListSources(v.Context(), v.page())
	if err != nil {
		return answer{}, err
	}
	rows := api.List[sourceRow]{HasMore: l.HasMore, Next: l.Next}
	for i := range l.Data {
		rows.Data = append(rows.Data, sourceRowOf(l.Data[i]))
	}
	return show("sources", "Sources", viewOf("/console/sources", rows))
}

// verdictRow is how many callbacks were answered with a verdict.
type verdictRow struct {
	Verdict string
	Count   uint64
	Says    string
}

// verdictSays are the verdicts in words.
var verdictSays = map[string]string{
	"accepted": "On stable storage; partners are told what changes", "ignored": "Genuine, and carries no status", "quarantined": "Genuine, and could not be applied; kept in quarantine",
	"handshake": "The provider's own test of the address", "bad_request": "Malformed HTTP, or a path with tricks", "unsigned": "No signature", "malformed": "A signature that cannot be read",
	"mismatch": "No key of the source fits", "stale": "Its timestamp is too old or too new", "address": "The client address is not in allow", "trigger": "Made by countersign trigger, where people are real",
	"method": "Not a POST", "no_length": "No Content-Length, and not chunked", "too_large": "More than the source accepts", "rate": "More often than the source may",
	"header": "Headers too long", "bodies": "The memory for bodies is used up", "no_key": "The published key that it names could not be had", "backlog": "The relay is too far behind",
	"questions": "It proves nothing, and too many of its like have still to be asked about", "full": "No room on the disk", "kafka": "Kafka did not acknowledge", "undecided": "The disk did not answer in time",
	"stopping": "The gateway was stopping", "panic": "An error of the gateway; its log says more", "unknown": "No such source",
}

// sourceView is one source, and what it would make of a callback.
type sourceView struct {
	sourceRow
	Verdicts []verdictRow
	Headers  string // that were pasted
	Body     string
	Base64   bool
	At       string
	Came     *api.Explanation
	Ends     string // how the lines of the body end that was explained
	Wrong    string
}

func source(v *visit) (answer, error) {
	view, err := v.source()
	if err != nil {
		return answer{}, err
	}
	return show("source", "Source "+view.Name, view)
}

// source finds a source by its name. There are few: they are on the first pages of the list.
func (v *visit) source() (view sourceView, err error) {
	name := v.FormValue("name")
	l, err := v.api.ListSources(v.Context(), client.Page{Limit: 1000})
	if err != nil {
		return view, err
	}
	i := slices.IndexFunc(l.Data, func(s api.Source) bool { return s.Name == name })
	if i < 0 {
		return view, &client.Error{Status: http.StatusNotFound, Text: "There is no such source in this gateway's config."}
	}
	view.sourceRow = sourceRowOf(l.Data[i])
	for verdict, n := range l.Data[i].Verdicts {
		view.Verdicts = append(view.Verdicts, verdictRow{verdict, n, cmp.Or(verdictSays[verdict], word(verdict))})
	}
	slices.SortFunc(view.Verdicts, func(a, b verdictRow) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Verdict, b.Verdict))
	})
	return view, nil
}

// explain says what a callback would mean that was pasted. Nothing of it is kept.
func explain(v *visit) (answer, error) {
	view, err := v.source()
	if err != nil {
		return answer{}, err
	}
	view.Headers, view.Body, view.Base64, view.At = v.FormValue("headers"), v.FormValue("body"), v.FormValue("base64") == "true", v.FormValue("at")
	title := "Source " + view.Name
	ask, err := view.ask()
	if err != nil {
		view.Wrong = said(err)
		return showRefused(err, "source", title, view)
	}
	came, ends, err := v.explained(view.Name, ask)
	if denied(err) {
		view.Wrong = said(err)
		return showRefused(err, "source", title, view)
	}
	if err != nil {
		return answer{}, err
	}
	view.Came, view.Ends = &came, ends
	return show("source", title, view)
}

// explained asks what a source makes of a callback. A browser sends every line end of a text as CR
// LF, whatever it was: what was captured has mostly LF, and else CR LF.
func (v *visit) explained(name string, ask api.ExplainAsk) (came api.Explanation, ends string, err error) {
	crlf := ask.Text
	ask.Text = strings.ReplaceAll(crlf, "\r\n", "\n")
	came, err = v.api.Explain(v.Context(), name, ask)
	if err != nil || came.Genuine || ask.Text == crlf {
		return came, "", err
	}
	ask.Text = crlf
	other, err := v.api.Explain(v.Context(), name, ask)
	if err == nil && other.Genuine {
		return other, "CR LF", nil
	}
	return came, "LF", err
}

// ask reads what was pasted.
func (view *sourceView) ask() (ask api.ExplainAsk, err error) {
	if len(view.Headers)+len(view.Body) > maxPasted {
		return ask, &client.Error{Status: http.StatusRequestEntityTooLarge, Text: "That is more than 256 KiB. Use countersign verify and countersign translate on the machine."}
	}
	ask.Headers = map[string][]string{}
	for line := range strings.Lines(view.Headers) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return ask, wanting("A header is a name, a colon and a value, one a line. This line is not: " + short(line))
		}
		name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))
		ask.Headers[name] = append(ask.Headers[name], strings.TrimSpace(value))
	}
	ask.Text = view.Body
	if view.Base64 {
		body, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(view.Body), ""))
		if err != nil {
			return ask, wanting("The body is not base64.")
		}
		ask.Text, ask.Body = "", bytes.Clone(body)
	}
	if !utf8.ValidString(ask.Text) {
		ask.Text, ask.Body = "", []byte(ask.Text)
	}
	if view.At != "" {
		if ask.At, err = time.Parse(time.RFC3339, instantOf(view.At)); err != nil {
			return ask, wanting("The time is not one such as 2026-11-30 08:00:00.")
		}
	}
	return ask, nil
}

// wanting is a form that is not filled in as it has to be.
func wanting(text string) error { return &client.Error{Status: http.StatusBadRequest, Text: text} }
