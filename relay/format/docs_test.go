package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"countersign/kyc"
	"countersign/signing"
)

const formatsDoc = "../../docs/FORMATS.md"

// TestFormatsDocument holds docs/FORMATS.md to the code: the table, the words, and of each format
// its content type, signature, samples and gaps.
func TestFormatsDocument(t *testing.T) {
	b, err := os.ReadFile(formatsDoc)
	if err != nil {
		t.Fatal(err)
	}
	doc, names := string(b), []string{"table", "words"}
	doc = generated(t, doc, "table", formatTable(t))
	doc = generated(t, doc, "words", wordTable(t))
	for _, f := range All {
		doc, names = generated(t, doc, f.Name, formatText(t, f)), append(names, f.Name)
	}
	var marked []string
	for _, m := range regexp.MustCompile(`(?m)^<!-- (.+): begin -->$`).FindAllStringSubmatch(doc, -1) {
		marked = append(marked, m[1])
	}
	if !slices.Equal(marked, names) {
		t.Errorf("docs/FORMATS.md has the parts %v, want %v", marked, names)
	}
	for _, link := range regexp.MustCompile(`\]\(#([a-z0-9-]+)\)`).FindAllStringSubmatch(doc, -1) {
		if heading := strings.ReplaceAll(link[1], "-", "[ -]"); !regexp.MustCompile(`(?im)^#+ ` + heading + `$`).MatchString(doc) {
			t.Errorf("docs/FORMATS.md has no heading for #%s", link[1])
		}
	}
	if doc == string(b) {
		return
	}
	if !*update {
		t.Fatal("docs/FORMATS.md is not what the code says; run go test ./relay/format -update")
	}
	if err := os.WriteFile(formatsDoc, []byte(doc), 0o644); err != nil {
		t.Fatal(err)
	}
}

// generated replaces what stands between the markers of a part, which must stand once.
func generated(t *testing.T, doc, part, text string) string {
	t.Helper()
	begin, end := "<!-- "+part+": begin -->\n", "<!-- "+part+": end -->\n"
	before, rest, ok := strings.Cut(doc, begin)
	_, after, ended := strings.Cut(rest, end)
	if !ok || !ended || strings.Contains(after, begin) {
		t.Fatalf("docs/FORMATS.md lacks the markers of %s, or has them twice", part)
	}
	return before + begin + text + end + after
}

// signatureOf names a scheme and links to what docs/FORMATS.md says of it.
func signatureOf(t *testing.T, f Format) string {
	t.Helper()
	switch s := f.Scheme.(type) {
	case signing.StandardWebhooks:
		return "[Standard Webhooks](#standard-webhooks)"
	case signing.BodyHMAC:
		if s.Hash == signing.SHA256 && s.Encoding == signing.Hex {
			return "[hex HMAC of the body](#hex-hmac-of-the-body)"
		}
	case blendfiV1Scheme:
		return "[timestamp and hex HMAC](#timestamp-and-hex-hmac)"
	}
	t.Fatalf("docs/FORMATS.md does not say how to verify %s", f.Name)
	return ""
}

func formatTable(t *testing.T) string {
	t.Helper()
	key, err := signing.StandardKey("whsec_bSvML0JVUh267rI0nTQaHlvVv8cRQaNx")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| format | content type | signature | headers |\n|---|---|---|---|\n")
	for _, f := range All {
		c, h := changeOf(kyc.InReview, kyc.Approved, becauses[0]), http.Header{}
		if err := f.Scheme.Sign(h, signing.Message{ID: c.ID, Time: changeTime, Body: mustRender(t, f, c, 5)}, signing.Keyring{key}); err != nil {
			t.Fatal(err)
		}
		headers := strings.Join(slices.Sorted(maps.Keys(h)), "`, `")
		fmt.Fprintf(&b, "| [%s](#%s) | `%s` | %s | `%s` |\n", f.Name, f.Name, f.ContentType, signatureOf(t, f), headers)
	}
	return b.String()
}

// wordTable says how the formats with words of their own call each change.
func wordTable(t *testing.T) string {
	t.Helper()
	formats := []Format{blendfi, blendfiV1, bluum, rebilly}
	cells := func(c kyc.Change) string {
		var row strings.Builder
		for _, f := range formats {
			row.WriteString(" " + cell(t, f, c) + " |")
		}
		return row.String()
	}
	var b strings.Builder
	b.WriteString("| change |")
	for _, f := range formats {
		b.WriteString(" " + f.Name + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(formats)) + "\n")
	line := func(change func(previous kyc.Status) kyc.Change) {
		before, after := change(kyc.Pending), change(kyc.Approved)
		row, taken := cells(before), cells(after)
		fmt.Fprintf(&b, "| `%s` |%s\n", before.Type, row)
		if row != taken {
			fmt.Fprintf(&b, "| after approved |%s\n", taken)
		}
	}
	for _, status := range append(slices.Clone(kyc.Statuses), expiring) {
		line(func(previous kyc.Status) kyc.Change { return changeOf(previous, status, becauses[1]) })
	}
	for _, status := range []kyc.Status{kyc.Pending, kyc.Approved, kyc.Rejected} {
		line(func(previous kyc.Status) kyc.Change { return documentOf(previous, status, becauses[1]) })
	}
	for _, word := range []string{"pending", "clear", "failed", "review_required", "error", "expired", "suspended"} {
		line(func(previous kyc.Status) kyc.Change {
			c := changeOf(previous, kyc.InReview, becauses[1])
			c.Type, c.Check.Status = checkPrefix+word, word
			return c
		})
	}
	return b.String()
}

// cell is the event that a format makes of a change, and the status in it where the name does not
// say it.
func cell(t *testing.T, f Format, c kyc.Change) string {
	t.Helper()
	e := eventOf(t, f, c)
	name := e.Type + e.EventType
	switch name {
	case "":
		return "–"
	case "account.updated":
		return "`" + name + "`, `" + e.Data.Status + "`"
	}
	for _, o := range e.Embedded {
		if !strings.HasSuffix(name, "-"+o.Status) {
			return "`" + name + "`, `" + o.Status + "`"
		}
	}
	return "`" + name + "`"
}

// formatText is what is said of one format.
func formatText(t *testing.T, f Format) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "Content type `%s`, signature: %s.\n\n", f.ContentType, signatureOf(t, f))
	sample := func(title string, c kyc.Change) {
		var body bytes.Buffer
		if err := json.Indent(&body, mustRender(t, f, c, 5), "", "  "); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s:\n\n```json\n%s\n```\n\n", title, body.Bytes())
	}
	approved := changeOf(kyc.InReview, kyc.Approved, becauses[0])
	approved.OccurredAt = approvedTime
	sample("An approval", approved)
	sample("A rejection with another try to come", changeOf(kyc.Pending, kyc.Rejected, becauses[1]))
	b.WriteString("Gaps:\n\n")
	for _, g := range f.Gaps {
		b.WriteString("- " + g + "\n")
	}
	return b.String()
}
