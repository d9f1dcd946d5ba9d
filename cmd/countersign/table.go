package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

// table is a list for people: a header, and columns as wide as what stands in them. Nothing of it
// is coloured, whoever reads it.
type table struct {
	head []string
	rows [][]string
}

// add puts a row behind the others. A cell that holds nothing is a dash, so that columns can be
// counted.
func (t *table) add(cells ...string) {
	for i := range cells {
		if cells[i] = escape(cells[i], ""); cells[i] == "" {
			cells[i] = "-"
		}
	}
	t.rows = append(t.rows, cells)
}

// print writes the table, and forgets its rows.
func (c *console) print(t *table) {
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(t.head, "\t")) //nolint:errcheck // a terminal that is gone is no error of ours
	for _, row := range t.rows {
		fmt.Fprintln(w, strings.Join(row, "\t")) //nolint:errcheck // as above
	}
	w.Flush() //nolint:errcheck,gosec // as above
	t.rows = nil
}

// when is how every time is shown: in UTC, to the second, as RFC 3339 has it. "": there is none.
func when(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339)
}

// pageFlags are the flags of every list.
type pageFlags struct {
	Cursor string `help:"Continue after a page: the value it printed after \"more\"." group:"list"`
	Limit  int    `help:"Maximum number of results, up to 1000." default:"100" group:"list"`
	All    bool   `help:"Print all pages, not only the first." group:"list"`
}

func (p pageFlags) page() client.Page { return client.Page{Cursor: p.Cursor, Limit: p.Limit} }

// more says how to go on where a list has not been printed to its end.
func (c *console) more(next string) {
	if next != "" {
		c.printf("more: --cursor %s\n", next)
	}
}

// rowsAtOnce is how many rows stand under one header, and are asked for at once, of all of a list.
const rowsAtOnce = 1000

// lists prints a list: to scripts as the API answers it, to people as a table with a row for each
// item, or several.
func lists[T any](c *console, f jsonFlag, p pageFlags, list func(context.Context, client.Page) (api.List[T], error), t *table, row func(*table, *T)) error {
	if p.All {
		return allOf(c, f, p, list, t, row)
	}
	v, err := list(c.ctx, p.page())
	if err != nil {
		return err
	}
	if f.JSON {
		return c.show(v)
	}
	for i := range v.Data {
		row(t, &v.Data[i])
	}
	if len(t.rows) > 0 {
		c.print(t)
	} else if v.Next == "" {
		c.nothing()
	}
	c.more(v.Next)
	return nil
}

// nothing says that a list is empty, beside what a pipe reads.
func (c *console) nothing() { fmt.Fprintln(c.err, "there is nothing to list") } //nolint:errcheck // a terminal that is gone is no error of ours

// allOf prints every page as it comes: a list may be longer than memory. To scripts it is one list.
func allOf[T any](c *console, f jsonFlag, p pageFlags, list func(context.Context, client.Page) (api.List[T], error), t *table, row func(*table, *T)) error {
	from := p.page()
	from.Limit = rowsAtOnce
	n := 0
	for v, err := range client.All(c.ctx, from, list) {
		if err != nil {
			return err // what was printed of JSON ends within a list, so nobody takes it for all
		}
		if f.JSON {
			if err := c.item(n, v); err != nil {
				return err
			}
		} else if row(t, &v); len(t.rows) >= rowsAtOnce {
			c.print(t)
		}
		n++
	}
	switch {
	case f.JSON && n == 0:
		return c.show(api.Page[T](nil, false))
	case f.JSON:
		c.printf(`],"has_more":false}` + "\n")
	case n == 0:
		c.nothing()
	case len(t.rows) > 0:
		c.print(t)
	}
	return nil
}

// item prints the n-th of a list of JSON, and what stands before it.
func (c *console) item(n int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("print: %w", err)
	}
	before := ",\n"
	if n == 0 {
		before = `{"object":"list","data":[`
	}
	if _, err := fmt.Fprint(c.out, before, string(b)); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}
