package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// hardCases are the cases of docs/CASES.md, by their titles there.
var hardCases = []struct {
	title string
	walk  func(*walk)
}{
	{"Sanctions hit on a namesake", walkNamesake},
	{"PEP hit that comes again after its release", walkHitAgain},
	{"One ref, two people", walkTwoPeople},
	{"Record released to the wrong person", walkTakeBack},
	{"Ref that two partners registered", walkTwoPartners},
	{"Callback before the submission", walkBeforeSubmission},
	{"Live body at a test source", walkLivemode},
	{"Key rotated at the provider first", walkRotatedEarly},
	{"Callbacks signed for another account", walkOtherAccount},
	{"Proxy that changes the body", walkProxy},
	{"Unknown status word", walkUnknownWord},
	{"Approval of another workflow", walkWorkflow},
	{"Unknown event", walkUnknownEvent},
	{"Unknown event that decides", walkUnknownDecision},
	{"Body that cannot be read", walkUnreadable},
	{"Approval without a signature", walkUnsigned},
	{"Approval confirmed by asking the provider", walkConfirmed},
	{"Approval behind a final rejection", walkParked},
	{"Rejection answered by an approval of ours", walkOverruled},
	{"Approval older than a rejection", walkStale},
	{"Approval that ends", walkEnds},
	{"Person that a partner is not told of", walkNotTold},
	{"Endpoint that is behind", walkBehind},
	{"Partner that answers 410", walkGone},
	{"Redelivery overtaken by a newer change", walkOvertaken},
	{"Rejection that a partner was never told", walkWithheld},
	{"Endpoint that never comes back", walkGivenUp},
	{"Stricter policy", walkPolicy},
	{"Provider clock ahead of ours", walkAhead},
	{"Partner that cannot verify our signature", walkPartnerSignature},
	{"Who decided this, and why", walkWho},
}

// documented is one case as the document tells it.
type documented struct {
	title, text string
	commands    []typed // what is typed there, and what is said to come of it
}

// TestHardCases walks every case of the document with the command line on a running gateway, and
// finds in the walk whatever the document shows: commands, their output, metrics, alerts and log
// lines. Text in <angle brackets> stands for what differs from day to day, and … for the rest of a
// line.
func TestHardCases(t *testing.T) {
	docs, alerts := documentedCases(t), alertRules(t)
	var titles, want []string
	for _, d := range docs {
		titles = append(titles, d.title)
	}
	for _, c := range hardCases {
		want = append(want, c.title)
	}
	if !slices.Equal(titles, want) {
		t.Fatalf("docs/CASES.md has the cases\n%q\nand the test\n%q", titles, want)
	}
	for i, c := range hardCases {
		t.Run(c.title, func(t *testing.T) {
			w := newWalk(t)
			c.walk(w)
			docs[i].shape(t)
			docs[i].compare(t, w, alerts)
		})
	}
}

// documentedCases reads the page.
func documentedCases(t *testing.T) (all []documented) {
	t.Helper()
	parts := strings.Split(read(t, "../../docs/CASES.md"), "\n## ")
	if len(parts) < 21 {
		t.Fatalf("docs/CASES.md has %d cases, want 20 at least", len(parts)-1)
	}
	for _, part := range parts[1:] {
		title, text, _ := strings.Cut(part, "\n")
		d := documented{title: title, text: text}
		for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(text, -1) {
			for line := range strings.Lines(block[1]) {
				line = strings.TrimRight(line, "\n")
				if command, ok := strings.CutPrefix(line, "$ countersign "); ok {
					d.commands = append(d.commands, typed{line: command})
				} else if n := len(d.commands); n > 0 {
					d.commands[n-1].out += line + "\n"
				} else {
					t.Errorf("%s: output of no command: %s", title, line)
				}
			}
		}
		all = append(all, d)
	}
	return all
}

// alertRules are the rules of dashboards/alerts.yaml by the alert's name.
func alertRules(t *testing.T) map[string]string {
	t.Helper()
	rules := map[string]string{}
	for _, rule := range strings.Split(read(t, "../../dashboards/alerts.yaml"), "- alert: ")[1:] {
		name, rest, _ := strings.Cut(rule, "\n")
		expr, _, _ := strings.Cut(rest, "annotations:")
		rules[name] += expr
	}
	return rules
}

// shape is what makes a case quick to read.
func (d *documented) shape(t *testing.T) {
	t.Helper()
	at := 0
	for _, part := range []string{"**What you see.**", "**What it means.**", "**What to do.**"} {
		i := strings.Index(d.text[at:], part)
		if i < 0 {
			t.Fatalf("%s is missing, or in another order", part)
		}
		at += i
	}
	lines := slices.DeleteFunc(strings.Split(d.text, "\n"), func(s string) bool { return strings.TrimSpace(s) == "" || strings.HasPrefix(s, "```") })
	if len(lines) > 12 {
		t.Errorf("%d lines, want at most 12", len(lines))
	}
	if len(d.commands) == 0 {
		t.Error("no command")
	}
}

// compare finds in a walk what the document says of it.
func (d *documented) compare(t *testing.T, w *walk, alerts map[string]string) {
	t.Helper()
	for _, c := range d.commands {
		if !slices.ContainsFunc(w.ran, func(r typed) bool { return fits(c.line, r.line) && printed(c.out, r.out) }) {
			t.Errorf("the walk never typed\n$ countersign %s\nwith the output\n%sbut\n%s", c.line, c.out, w.transcript(c.line))
		}
	}
	for _, m := range regexp.MustCompile("`(countersign_[a-z_]+(?:\\{[^}]*\\})?)`").FindAllStringSubmatch(d.text, -1) {
		if !slices.Contains(w.series, m[1]) {
			t.Errorf("the walk did not look at the metric %s", m[1])
		}
	}
	for _, m := range regexp.MustCompile("`(Countersign[A-Za-z]+)`").FindAllStringSubmatch(d.text, -1) {
		if !slices.ContainsFunc(w.series, func(s string) bool { return watches(alerts[m[1]], s) }) {
			t.Errorf("the alert %s watches nothing that the walk moved", m[1])
		}
	}
	for _, m := range regexp.MustCompile("log line `([a-z_]+)`").FindAllStringSubmatch(d.text, -1) {
		if !strings.Contains(w.log.String(), `"msg":"`+m[1]+`"`) {
			t.Errorf("the walk left no log line %s", m[1])
		}
	}
}

// watches reports whether an alert's rule reads a series: its name, and the verdict, reason or
// outcome if the rule says which.
func watches(rule, series string) bool {
	name, labels, _ := strings.Cut(series, "{")
	if !regexp.MustCompile(regexp.QuoteMeta(name) + `\b`).MatchString(rule) {
		return false
	}
	for _, m := range regexp.MustCompile(`(verdict|reason|kind)="([^"]*)"`).FindAllStringSubmatch(labels, -1) {
		if strings.Contains(rule, m[1]+"=") && !regexp.MustCompile(`\b`+m[2]+`\b`).MatchString(rule) {
			return false
		}
	}
	return true
}

// fits reports whether a line of the document is a line that was typed or printed; how many blanks
// stand between words does not matter.
func fits(pattern, line string) bool {
	text := regexp.QuoteMeta(strings.Join(strings.Fields(pattern), " "))
	text = regexp.MustCompile(`<[^<> ]*>`).ReplaceAllString(text, `\S+`)
	text = strings.ReplaceAll(text, "…", ".*")
	return regexp.MustCompile("^" + text + "$").MatchString(strings.Join(strings.Fields(line), " "))
}

// printed reports whether every line of the document was printed.
func printed(lines, out string) bool {
	all := strings.Split(out, "\n")
	for want := range strings.Lines(lines) {
		if !slices.ContainsFunc(all, func(line string) bool { return fits(want, line) }) {
			return false
		}
	}
	return true
}

// transcript is what was typed with the same first word.
func (w *walk) transcript(like string) string {
	var b strings.Builder
	first, _, _ := strings.Cut(like, " ")
	for _, r := range w.ran {
		if strings.HasPrefix(r.line, first) {
			b.WriteString("$ countersign " + r.line + "\n" + r.out)
		}
	}
	return b.String()
}
