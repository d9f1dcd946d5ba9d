package control

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"countersign/relay/control/api"
)

// maxCursor is how long a cursor may be: of a list whose ids are as long as any, in base64.
const maxCursor = 2 * maxParam

// paging is which page of a list is asked for. Every list has an order that its entries never
// change, and a cursor says after which of them the page begins: so no entry that stays is passed
// over or shown twice, whatever comes and goes between two pages.
type paging struct {
	list  string // its name, which the cursor has in it: that of one list is none of another
	after string // the id of the last entry of the page before; "": the list begins
	limit int
}

// pageOf reads cursor and limit.
func pageOf(req *http.Request, list string) (p paging, err error) {
	q := req.URL.Query()
	p = paging{list: list, limit: 100}
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1000 {
			return p, bad("limit", "limit is a number from 1 to 1000")
		}
		p.limit = n
	}
	if q.Has("after") {
		return p, bad("after", "pages are asked for by cursor: pass on the next of the page before")
	}
	text := q.Get("cursor")
	if text == "" {
		return p, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	of, after, ok := strings.Cut(string(b), "\x00")
	if err != nil || !ok || of != list || after == "" {
		return p, badCursor()
	}
	p.after = after
	return p, nil
}

func badCursor() error { return bad("cursor", "cursor is the next of a page of this list") }

// listed is a page with these entries, and where there are more with its cursor.
func listed[T any](p paging, data []T, more bool, id func(*T) string) api.List[T] {
	l := api.Page(data, more)
	if more && len(data) > 0 {
		l.Next = cursorOf(p.list, id(&data[len(data)-1]))
	}
	return l
}

// cursorOf is the cursor of the page of a list behind an entry; "": of none.
func cursorOf(list, after string) string {
	if after == "" {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString([]byte(list + "\x00" + after))
}

// cutOut is the page of a list that is all there, in the order of its ids.
func cutOut[T any](p paging, all []T, id func(*T) string) api.List[T] {
	all = slices.DeleteFunc(all, func(v T) bool { return p.after != "" && id(&v) <= p.after })
	more := len(all) > p.limit
	if more {
		all = all[:p.limit]
	}
	return listed(p, all, more, id)
}
