package main

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
)

// figure is one line of a table: a name and what was found.
type figure struct {
	name  string
	value string
}

func count[N int | int64](name string, n N) figure {
	return figure{name, strconv.FormatInt(int64(n), 10)}
}

func (f *findings) figures() []figure {
	return []figure{
		count("persons", f.Persons), count("acknowledged events", f.Acked), count("events in doubt", f.InDoubt),
		count("deliveries received", f.Deliveries), count("different ones accepted", f.Accepted),
		count("lost", f.Lost), count("invented", f.Invented), count("altered", f.Altered), count("badly signed", f.BadlySigned),
		count("out of order", f.OutOfOrder), count("duplicates with another id", f.DuplicateWithOtherID),
		count("sequence gaps", f.Gaps), count("duplicates", f.Duplicated), count("of these, explained by no kill", f.RepeatedAfter2xx),
		count("kills in the ledgers", f.Kills), count("repeats that the kills excuse", f.AllowedRepeats),
	}
}

func printFigures(out io.Writer, figures []figure, remarks []string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, f := range figures {
		if _, err := fmt.Fprintf(w, "%s\t%s\n", f.name, f.value); err != nil {
			return err
		}
	}
	for _, r := range remarks {
		if _, err := fmt.Fprintln(w, r); err != nil {
			return err
		}
	}
	return w.Flush()
}
