package client

import (
	"context"
	"iter"
	"net/url"
	"strconv"

	"countersign/relay/control/api"
)

// Page is which page of a list is asked for. The zero Page is the first, as long as the gateway
// makes one.
type Page struct {
	Cursor string // the Next of the page before
	Limit  int    // up to 1,000; 0: 100
}

// query is the page as the API reads it, with further pairs; what is empty is left out.
func (p Page) query(pairs ...string) url.Values {
	q := url.Values{}
	if p.Limit != 0 {
		pairs = append(pairs, "limit", strconv.Itoa(p.Limit))
	}
	pairs = append(pairs, "cursor", p.Cursor)
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

// All goes over a whole list, page by page, from a page on. list is a method such as
// Client.ListTokens; one that takes more is called in a function. An error ends it.
func All[T any](ctx context.Context, from Page, list func(context.Context, Page) (api.List[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			l, err := list(ctx, from)
			if err != nil {
				yield(*new(T), err)
				return
			}
			for _, v := range l.Data {
				if !yield(v, nil) {
					return
				}
			}
			if !l.HasMore || l.Next == "" {
				return
			}
			from.Cursor = l.Next
		}
	}
}

// word is true where something is wanted; "": nothing is said.
func word(wanted bool) string {
	if wanted {
		return "true"
	}
	return ""
}

// mode is whose subjects are meant, as a query; nil: the gateway's own.
func mode(livemode *bool, pairs ...string) url.Values {
	if livemode != nil {
		pairs = append(pairs, "livemode", strconv.FormatBool(*livemode))
	}
	return Page{}.query(pairs...)
}
