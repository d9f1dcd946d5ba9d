package provider

import (
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"countersign/kyc"
)

// truliooLists is what a service of Workflow Studio says of lists of persons, whichever service it
// is: of one list, or of several by their names.
type truliooLists struct {
	truliooList
	Named map[string]raw[truliooList] `json:",embed"`
}

// truliooList is what one list says: a word, and how many entries of each kind, in any of the
// places and spellings that Trulioo uses.
type truliooList struct {
	truliooHits
	Details raw[truliooHits] `json:"watchlistHitDetails"`
	Data    raw[truliooHits] `json:"WatchlistData"`
}

type truliooHits struct {
	Status       string         `json:"watchlistStatus"`
	State        string         `json:"WatchlistState"`
	List         jsontext.Value `json:"wlHitsNumber"`
	Media        jsontext.Value `json:"amHitsNumber"`
	PEP          jsontext.Value `json:"pepHitsNumber"`
	NumList      jsontext.Value `json:"num_WL_hits"`
	NumMedia     jsontext.Value `json:"num_AM_hits"`
	NumPEP       jsontext.Value `json:"num_PEP_hits"`
	ResultsList  jsontext.Value `json:"WL_results"`
	ResultsMedia jsontext.Value `json:"AM_results"`
	ResultsPEP   jsontext.Value `json:"PEP_results"`
}

// truliooRecord is the whole answer of a service, of which only what it appends about lists is
// read.
type truliooRecord struct {
	Record struct {
		Results []struct {
			Appended []struct {
				Name string           `json:"FieldName"`
				Data raw[truliooHits] `json:"Data"`
			} `json:"AppendedFields"`
		} `json:"DatasourceResults"`
	} `json:"Record"`
}

// truliooListed is what all lists come to.
type truliooListed struct {
	clear bool // it says so, and nothing says otherwise
	found bool
	codes []string
}

// listed reads the lists.
func (b *truliooBody) listed() (l truliooListed) {
	lists, ok := b.Data.Lists.read()
	if !ok && string(b.Data.Lists.Value) != "[]" {
		l.found = true // somebody is on a list that we cannot read
	}
	l.add(lists.truliooList)
	for _, name := range slices.Sorted(maps.Keys(lists.Named)) {
		if list, ok := lists.Named[name].read(); ok {
			l.add(list)
		}
	}
	full, _ := b.Data.Full.read()
	for _, source := range full.Record.Results {
		for _, field := range source.Appended {
			if !strings.HasPrefix(field.Name, "Watchlist") {
				continue
			}
			hits, ok := field.Data.read()
			if !ok {
				hits.State = scalar(field.Data.Value)
			}
			l.count(hits)
		}
	}
	slices.Sort(l.codes)
	l.codes, l.found = slices.Compact(l.codes), l.found || len(l.codes) > 0
	l.clear = l.clear && !l.found
	return l
}

func (l *truliooListed) add(list truliooList) {
	l.count(list.truliooHits)
	for _, part := range []raw[truliooHits]{list.Details, list.Data} {
		hits, ok := part.read()
		l.found = l.found || !ok
		l.count(hits)
	}
}

// count adds what one place says. A word that is not known is taken for a hit.
func (l *truliooListed) count(h truliooHits) {
	for _, said := range []string{h.Status, h.State} {
		switch strings.ToLower(said) {
		case "":
		case "no hit", "clear":
			l.clear = true
		default:
			l.found = true
		}
	}
	for _, kind := range []struct {
		code string
		says []jsontext.Value
	}{
		{"watchlist.wl", []jsontext.Value{h.List, h.NumList, h.ResultsList}},
		{"watchlist.am", []jsontext.Value{h.Media, h.NumMedia, h.ResultsMedia}},
		{"watchlist.pep", []jsontext.Value{h.PEP, h.NumPEP, h.ResultsPEP}},
	} {
		for _, v := range kind.says {
			if s := strings.Trim(string(v), `"`); s != "" && s != "0" && s != "null" && s != "[]" {
				l.codes = append(l.codes, kind.code)
			}
		}
	}
}

// screening fills in what a service says whose business is lists of persons, and reports what is
// not understood. Whoever is found may be somebody else of that name: Trulioo calls it a potential
// hit.
func (b *truliooBody) screening(u *kyc.Update) (doubtful bool) {
	l := b.listed()
	switch {
	case l.found:
		u.Status, u.Reasons = kyc.InReview, truliooReasons.pairs(l.codes)
	case b.Data.Status != "COMPLETED":
		u.Status = kyc.Pending
	case l.clear && !strings.Contains(b.Service, "BUSINESS"):
		u.Status = kyc.Approved
	default:
		u.Status = kyc.InReview
		return true
	}
	return l.found && len(l.codes) == 0
}
