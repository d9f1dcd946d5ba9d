package provider

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// judged is testdata/NAME/artefacts.json: what of the vendor's own was run through the adapter. The
// bodies are written anew from what the artefact says, and compared with what the vendor's
// documentation says that they mean.
type judged struct {
	Checked   string     `json:"checked"` // a day
	Artefacts []artefact `json:"artefacts"`
	Note      string     `json:"note,omitempty"` // what was looked for and not found; needed where nothing was
}

// artefact is one thing that a vendor, or somebody who receives its callbacks in public, has
// published.
type artefact struct {
	What     string `json:"what"`
	Where    string `json:"where"`
	Bodies   int    `json:"bodies"`   // how many shapes of it were run
	Differed int    `json:"differed"` // how many of them did not mean to us what they should, before that was mended
}

// artefacts reads an adapter's file; nil: it has none yet.
func artefacts(t *testing.T, a Adapter) *judged {
	t.Helper()
	const name = "artefacts.json"
	if _, err := os.Stat(filepath.Join("testdata", a.Name, name)); os.IsNotExist(err) {
		return nil
	}
	j := &judged{}
	readJSON(t, a, name, j)
	return j
}

// faults lists what is wrong with the form of a file.
func (j *judged) faults() (all []string) {
	at, err := time.Parse(time.DateOnly, j.Checked)
	if err != nil || at.Year() < 2026 {
		all = append(all, fmt.Sprintf("checked %q is not a day", j.Checked))
	}
	if len(j.Artefacts) == 0 && !strings.HasSuffix(j.Note, ".") {
		all = append(all, "it has neither artefacts nor a note, which is a sentence, of what was looked for")
	}
	where := regexp.MustCompile(`^https://[a-z0-9.-]+\.[a-z]+(/[^\s|()<>]*)?$`)
	for i, x := range j.Artefacts {
		switch {
		case x.What == "" || strings.ContainsAny(x.What+j.Note, "|<>[]\n"):
			all = append(all, fmt.Sprintf("artefact %d has no name, or one that no table can hold", i))
		case !where.MatchString(x.Where):
			all = append(all, fmt.Sprintf("where %q is not a public page", x.Where))
		case x.Bodies < 1 || x.Differed < 0 || x.Differed > x.Bodies:
			all = append(all, fmt.Sprintf("%s: %d bodies of which %d differed", x.What, x.Bodies, x.Differed))
		case slices.ContainsFunc(j.Artefacts[:i], func(y artefact) bool { return y.What == x.What && y.Where == x.Where }):
			all = append(all, x.What+" stands twice")
		}
	}
	return all
}

// bodies is how many shapes were run in all.
func (j *judged) bodies() (n int) {
	for _, x := range j.Artefacts {
		n += x.Bodies
	}
	return n
}

// String is the column of the page.
func (j *judged) String() string {
	switch {
	case j == nil:
		return "not yet"
	case len(j.Artefacts) == 0:
		return j.Checked + ", none found"
	default:
		return fmt.Sprintf("%s, %d", j.Checked, j.bodies())
	}
}

// lines is what the page says of it in full.
func (j *judged) lines() string {
	var b strings.Builder
	if j == nil {
		return ""
	}
	for _, x := range j.Artefacts {
		fmt.Fprintf(&b, "- [%s](%s): %d bodies. %d of them were read wrongly at first; that is mended.\n", x.What, x.Where, x.Bodies, x.Differed)
	}
	if j.Note != "" {
		fmt.Fprintf(&b, "- Note: %s\n", j.Note)
	}
	return b.String()
}

// TestArtefacts: every adapter says which of its vendor's own artefacts have judged it.
func TestArtefacts(t *testing.T) {
	var missing []string
	for _, a := range All {
		j := artefacts(t, a)
		if j == nil {
			missing = append(missing, a.Name)
			continue
		}
		for _, fault := range j.faults() {
			t.Errorf("testdata/%s/artefacts.json: %s", a.Name, fault)
		}
	}
	if len(missing) > 0 {
		t.Errorf("not judged by anything of the vendor's: %s", strings.Join(missing, ", "))
	}
}

func TestArtefactsForm(t *testing.T) {
	ok := artefact{What: "a sample", Where: "https://github.com/acme/sdk/tree/main/fixtures", Bodies: 3, Differed: 1}
	f := func(j judged, want int, column string) {
		t.Helper()
		if got := j.faults(); len(got) != want || j.String() != column {
			t.Errorf("%+v has faults %q and shows %q, want %d and %q", j, got, j.String(), want, column)
		}
	}
	with := func(change func(*artefact)) judged {
		x := ok
		change(&x)
		return judged{Checked: "2026-11-29", Artefacts: []artefact{x}}
	}
	f(judged{Checked: "2026-11-29", Artefacts: []artefact{ok}}, 0, "2026-11-29, 3")
	f(judged{Checked: "2026-11-29", Note: "None: the vendor publishes nothing."}, 0, "2026-11-29, none found")
	f(judged{Checked: "2026-11-29"}, 1, "2026-11-29, none found")
	f(judged{Checked: "29.11.2026", Artefacts: []artefact{ok, ok}}, 2, "29.11.2026, 6")
	f(with(func(x *artefact) { x.What = "" }), 1, "2026-11-29, 3")
	f(with(func(x *artefact) { x.What = "a|b" }), 1, "2026-11-29, 3")
	f(with(func(x *artefact) { x.Where = "http://acme.example" }), 1, "2026-11-29, 3")
	f(with(func(x *artefact) { x.Where = "https://localhost/x" }), 1, "2026-11-29, 3")
	f(with(func(x *artefact) { x.Where = "/tmp/x" }), 1, "2026-11-29, 3")
	f(with(func(x *artefact) { x.Bodies, x.Differed = 0, 0 }), 1, "2026-11-29, 0")
	f(with(func(x *artefact) { x.Differed = 4 }), 1, "2026-11-29, 3")
	f(with(func(x *artefact) { x.Differed = -1 }), 1, "2026-11-29, 3")
}
