//go:build realprometheus

package promtest

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The town has 4 sources, and 5 endpoints of one format.
const townSources, townEndpoints, townFormats = 4, 5, 1

// atMost is the value of a bound as docs/MONITORING.md writes it, such as 26 × S + 26.
func atMost(t *testing.T, bound string, s, e, f int) (sum int) {
	t.Helper()
	for term := range strings.SplitSeq(bound, " + ") {
		product := 1
		for factor := range strings.SplitSeq(term, " × ") {
			n, err := strconv.Atoi(factor)
			switch factor {
			case "S":
				n, err = s, nil
			case "E":
				n, err = e, nil
			case "F":
				n, err = f, nil
			}
			if err != nil {
				t.Fatalf("%q is no bound", bound)
			}
			product *= n
		}
		sum += product
	}
	return sum
}

// family is what the registry has of one metric.
type family struct {
	series int
	labels []string // but for those that a kind of metric has
}

// families reads the text format.
func families(text []byte) map[string]*family {
	all := map[string]*family{}
	label := regexp.MustCompile(`(\w+)="`)
	for line := range bytes.Lines(text) {
		if fields := strings.Fields(string(line)); fields[0] == "#" {
			if fields[1] == "TYPE" {
				all[fields[2]] = &family{}
			}
			continue
		}
		name := regexp.MustCompile(`^\w+`).FindString(string(line))
		f := all[name]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if short, ok := strings.CutSuffix(name, suffix); ok && f == nil {
				f = all[short]
			}
		}
		f.series++
		for _, m := range label.FindAllSubmatch(line, -1) {
			if l := string(m[1]); l != "le" && l != "quantile" && !slices.Contains(f.labels, l) {
				f.labels = append(f.labels, l)
			}
		}
	}
	return all
}

// cardinality holds the table of metrics in docs/MONITORING.md to the registry of a gateway that
// has done everything: each metric is in it, with its labels, and has no more series than it says;
// where that is a number, just as many.
func cardinality(t *testing.T, text []byte) {
	t.Helper()
	doc, err := os.ReadFile("../../docs/MONITORING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(doc), "<!-- metrics: begin -->")
	table, _, _ = strings.Cut(table, "<!-- metrics: end -->")
	got, example := families(text), 0
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| ([^|]*) \\| ([^|]*) \\|$").FindAllStringSubmatch(table, -1) {
		name, bound := m[1], m[3]
		example += atMost(t, bound, 10, 100, 2)
		f := got[name]
		if f == nil {
			t.Errorf("%s is in the table, and not in the registry", name)
			continue
		}
		labels := strings.FieldsFunc(m[2], func(r rune) bool { return r == ',' || r == ' ' })
		if slices.Sort(labels); !slices.Equal(labels, sorted(f.labels)) {
			t.Errorf("%s has the labels %v, and the table says %v", name, f.labels, labels)
		}
		most := atMost(t, bound, townSources, townEndpoints, townFormats)
		if fixed := !strings.ContainsAny(bound, "SEF"); f.series > most || fixed && f.series != most {
			t.Errorf("%s has %d series, and the table says %s", name, f.series, bound)
		}
		delete(got, name)
	}
	own := 0
	for name, f := range got {
		if strings.HasPrefix(name, "countersign_") {
			t.Errorf("%s is in the registry, and not in the table", name)
		}
		own += f.series
	}
	t.Logf("with 10 sources and 100 endpoints of 2 formats: %d series, %d of them Go's and the process'", example+own, own)
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}
