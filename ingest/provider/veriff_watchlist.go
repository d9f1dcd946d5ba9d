package provider

import (
	"cmp"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"countersign/kyc"
)

// veriffWatch is whom a callback is about, and what lists of persons say.
type veriffWatch struct {
	SessionID    ident      `json:"sessionId"`
	AttemptID    ident      `json:"attemptId"`
	VendorData   ident      `json:"vendorData"`
	EndUserID    ident      `json:"endUserId"`
	MatchStatus  string     `json:"matchStatus"`
	ReviewStatus string     `json:"reviewStatus"` // instead, since AML screening has one
	TotalHits    veriffText `json:"totalHits"`
	CreatedAt    string     `json:"createdAt"`
	Hits         []struct {
		Listings veriffListings `json:"listingsRelatedToMatch"`
	} `json:"hits"`
}

// word is what the lists come to, "" if it does not stand there.
func (w *veriffWatch) word() string { return cmp.Or(w.MatchStatus, w.ReviewStatus) }

// watch is where a watchlist's result stands.
func (b *veriffBody) watch() *veriffWatch {
	if own := &b.veriffWatch; own.word() == "" && b.Data.word() != "" {
		return &b.Data.veriffWatch
	}
	return &b.veriffWatch
}

// veriffListings are the lists on which somebody was found, of the kinds that we know.
type veriffListings struct {
	Sanctions jsontext.Value `json:"sanctions"`
	PEP       jsontext.Value `json:"pep"`
	Media     jsontext.Value `json:"adverseMedia"`
	Warnings  jsontext.Value `json:"warnings"`
	Fitness   jsontext.Value `json:"fitnessProbity"`
}

// found lists the kinds of which there is a list with something in it.
func (l *veriffListings) found() (kinds []string) {
	for _, list := range []struct {
		kind string
		is   jsontext.Value
	}{{"sanctions", l.Sanctions}, {"pep", l.PEP}, {"adverseMedia", l.Media}, {"warnings", l.Warnings}, {"fitnessProbity", l.Fitness}} {
		if list.is.Kind() == '[' && len(list.is) > len("[]") {
			kinds = append(kinds, list.kind)
		}
	}
	return kinds
}

// The places of a decision where a list of persons shows: the one reason that comes from it, and a
// field beside any reason.
const (
	veriffPEP   = "126"
	veriffMatch = "pepSanctionMatch"
)

// match says where a decision shows a possible match; "" if nowhere.
func (b *veriffBody) match(s *veriffSaid) string {
	switch {
	case s.reason == veriffPEP:
		return veriffPEP
	case b.Verification != nil && b.Verification.Person.Match != "" && !strings.EqualFold(string(b.Verification.Person.Match), "NO_MATCH"):
		return veriffMatch
	default:
		return ""
	}
}

// veriffHit is what such a decision says about screening, so that no approval of the identity
// clears it.
func veriffHit(u kyc.Update, code string) kyc.Update {
	u.Scope, u.Check, u.ExpiryKind = kyc.CheckScope, kyc.Screening, ""
	u.Reasons = veriffReasons.pairs([]string{code})
	if u.Status != kyc.Rejected || code != veriffPEP { // rejected for something else
		u.Status, u.Retryable, u.Terminal = kyc.InReview, false, false
	}
	return u
}

// watchlist fills in what the lists say: a possible match is for a person to judge.
// https://devdocs.veriff.com/docs/watchlist-screening-webhook
func (b *veriffBody) watchlist(u *kyc.Update) (doubtful bool) {
	u.Scope, u.Check, u.Status = kyc.CheckScope, kyc.Screening, kyc.InReview
	w := b.watch()
	if w.word() == "no_match" && (w.ReviewStatus == "" || w.ReviewStatus == "no_match") && len(w.Hits) == 0 && (w.TotalHits == "" || w.TotalHits == "0") {
		u.Status = kyc.Approved
		return false
	}
	var codes []string
	for i := range w.Hits {
		codes = append(codes, w.Hits[i].Listings.found()...)
	}
	if u.Reasons = veriffReasons.pairs(codes); len(codes) == 0 {
		u.Reasons = []kyc.ReasonPair{{Code: kyc.OtherReason}}
	}
	return w.word() != "possible_match" && w.word() != "potential_match"
}
