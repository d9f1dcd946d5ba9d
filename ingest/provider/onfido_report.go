package provider

import (
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"countersign/kyc"
)

// onfidoReport is a report, and what a task's output has of one.
type onfidoReport struct {
	ID        ident                `json:"id"`
	CheckID   ident                `json:"check_id"`
	Name      string               `json:"name"`
	Status    string               `json:"status"`
	Result    string               `json:"result"`
	SubResult string               `json:"sub_result"`
	Breakdown raw[onfidoBreakdown] `json:"breakdown"`
}

// onfidoBreakdown is what was looked at, part by part. A part may have parts.
type onfidoBreakdown map[string]raw[onfidoPart]

type onfidoPart struct {
	Result     string                    `json:"result"`
	Breakdown  raw[onfidoBreakdown]      `json:"breakdown"`
	Properties map[string]jsontext.Value `json:"properties"`
}

// step is what for a report that may still be at work.
func (p *onfidoReport) step(o Options, u *kyc.Update) (doubtful bool) {
	u.Retryable, u.Terminal, u.ExpiryKind = false, false, ""
	switch p.Status {
	case "complete":
		return p.what(o, u)
	case "awaiting_approval":
		u.Status = kyc.InReview
	case "awaiting_data", "in_progress", "paused":
		u.Status = kyc.Pending
	default:
		u.Status = kyc.InReview
		return true
	}
	return false
}

// over reports a report that will not say anything.
func (p *onfidoReport) over() bool { return p.Status == "withdrawn" || p.Status == "cancelled" }

// clear reports a plain yes.
func (p *onfidoReport) clear() bool {
	return p.Result == "clear" && (p.SubResult == "" || p.SubResult == "clear")
}

// what fills in the status of a complete report, and reports words that are unknown or contradict
// each other.
func (p *onfidoReport) what(o Options, u *kyc.Update) (doubtful bool) {
	pairs, h := p.reasons()
	u.Status, u.Reasons = kyc.InReview, pairs
	switch {
	case p.clear():
		u.Status, u.Reasons = kyc.Approved, nil
	case p.Result == "consider" && (p.SubResult == "rejected" || p.SubResult == "suspected"):
		payload := retryable
		if p.SubResult == "suspected" || grave(pairs) {
			payload = terminal
		}
		reject(u, pairs, payload)
	case p.Result == "consider" && p.SubResult == "":
		onfidoConsider(u, pairs, h, o)
	case p.Result == "consider" && p.SubResult == "caution", p.Result == "unidentified":
	default:
		doubtful = true
	}
	return doubtful
}

// reasons are what speaks against the subject. The sub_result stands in where the breakdown does
// not say.
func (p *onfidoReport) reasons() (pairs []kyc.ReasonPair, h hint) {
	if p.clear() {
		return nil, undecided
	}
	_, root := onfidoKind(p.Name)
	pairs, h = onfidoReasons.rows(onfidoPaths(root, p.Breakdown, 0), onfidoRow)
	means := func(r kyc.Reason) bool {
		return slices.ContainsFunc(pairs, func(p kyc.ReasonPair) bool { return p.Code == r || r == "" && p.Code != kyc.OtherReason })
	}
	switch {
	case p.SubResult == "suspected" && !means(kyc.FraudSuspected):
		pairs = append(pairs, kyc.ReasonPair{Code: kyc.FraudSuspected, ProviderCode: p.SubResult})
	case p.SubResult == "rejected" && !means(""):
		pairs = append(pairs, kyc.ReasonPair{Code: kyc.DocumentUnreadable, ProviderCode: p.SubResult})
	}
	return ranked(pairs), h
}

// onfidoDepth is how deep breakdowns nest.
const onfidoDepth = 4

// onfidoPaths lists the parts of a breakdown that are not clear, as deep as it goes. Parts of
// another form are passed over: the verdict does not rest on them.
func onfidoPaths(root string, breakdown raw[onfidoBreakdown], depth int) (codes []string) {
	if depth == onfidoDepth {
		return nil
	}
	parts, _ := breakdown.read()
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		part, _ := parts[name].read()
		if part.Result == "" || part.Result == "clear" {
			continue
		}
		path := root + "." + name
		deeper := onfidoPaths(path, part.Breakdown, depth+1)
		for _, property := range slices.Sorted(maps.Keys(part.Properties)) {
			_, known := onfidoReasons[path+"."+property]
			if said := string(part.Properties[property]); known && slices.Contains([]string{`true`, `"true"`, `"consider"`, `"unidentified"`}, said) {
				deeper = append(deeper, path+"."+property)
			}
		}
		if len(deeper) == 0 {
			deeper = []string{path}
		}
		codes = append(codes, deeper...)
	}
	return codes
}

// onfidoRow finds the row that speaks of a path: its own, else the nearest above it, else the path
// itself.
func onfidoRow(path string) string {
	for p := path; p != ""; p = p[:max(strings.LastIndexByte(p, '.'), 0)] {
		for _, row := range []string{p, p + ".*"} {
			if _, ok := onfidoReasons[row]; ok {
				return row
			}
		}
	}
	return path
}
