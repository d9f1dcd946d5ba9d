package doctest

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/signing"
)

// TestPartnersPage holds what docs/PARTNERS.md lists to what is sent: the fields of a change, and
// signatures of the scheme itself. With -update it writes them there.
func TestPartnersPage(t *testing.T) {
	name := filepath.Join(docs, "PARTNERS.md")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for _, part := range []struct{ name, text string }{{"fields", fieldsTable(t)}, {"vectors", vectorsTable(t)}} {
		begin, end := "<!-- "+part.name+": begin -->\n", "<!-- "+part.name+": end -->"
		before, rest, ok := strings.Cut(page, begin)
		stands, after, also := strings.Cut(rest, end)
		if !ok || !also {
			t.Fatalf("PARTNERS.md has no place for %s", part.name)
		}
		if stands != part.text && !*update {
			t.Errorf("PARTNERS.md lists other %s (-update writes them)\n%s\nwant\n%s", part.name, stands, part.text)
		}
		page = before + begin + part.text + end + after
	}
	if *update {
		if err := os.WriteFile(name, []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// fieldsTable is a row for each field of a change, in the order of its schema.
func fieldsTable(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| field | type | always there | meaning |\n|---|---|---|---|\n")
	doc := open(t, "change.schema.json").doc
	reason := doc["$defs"].(map[string]any)["reason"].(map[string]any)
	rows(&b, "", doc, reason)
	return b.String()
}

func rows(b *strings.Builder, at string, of, reason map[string]any) {
	required, _ := of["required"].([]any)
	fields := of["properties"].(map[string]any)
	for _, name := range inOrder(fields, required) {
		f := fields[name].(map[string]any)
		always := ""
		if slices.Contains(required, any(name)) {
			always = "yes"
		}
		kind, _ := f["type"].(string)
		fmt.Fprintf(b, "| `%s%s` | %s | %s | %s |\n", at, name, kind, always, f["description"])
		if at+name == "sequence" { // which only a webhook has, for it is of an endpoint
			fmt.Fprintf(b, "| `previous_sequence` | integer | yes | The `sequence` of the webhook about the same person that your endpoint was sent before; 0: this is the first. |\n")
		}
		if _, deeper := f["properties"]; deeper {
			rows(b, at+name+".", f, reason)
		}
		if name == "reasons" {
			rows(b, at+name+"[].", reason, reason)
		}
	}
}

// inOrder has what is always there first, as it is listed, then the rest by name.
func inOrder(fields map[string]any, required []any) (names []string) {
	for _, r := range required {
		names = append(names, r.(string))
	}
	var rest []string
	for name := range fields {
		if !slices.Contains(names, name) {
			rest = append(rest, name)
		}
	}
	slices.Sort(rest)
	return append(names, rest...)
}

const vectorKey = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

// vectorsTable is a row for each signature that a partner's code has to accept or reject. What the
// page says is what the scheme does.
func vectorsTable(t *testing.T) string {
	t.Helper()
	now := time.Unix(1773912000, 0)
	body := `{"type":"ping"}`
	other := "whsec_" + strings.Repeat("QUFB", 8)
	f := func(why, id string, at time.Time, signed, key, pattern string, want bool) string {
		h := http.Header{}
		k, err := signing.StandardKey(key)
		if err == nil {
			err = signing.StandardWebhooks{}.Sign(h, signing.Message{ID: "evt_vector", Time: at, Body: []byte(signed)}, signing.Keyring{k})
		}
		if err != nil {
			t.Fatal(err)
		}
		signature := strings.ReplaceAll(pattern, "SIG", h.Get("webhook-signature"))
		stamp := h.Get("webhook-timestamp")
		if got := accepted(t, id, stamp, signature, body, now); got != want {
			t.Errorf("%s: accepted %v, want %v", why, got, want)
		}
		verdict := "reject"
		if want {
			verdict = "accept"
		}
		return fmt.Sprintf("| %s | `%s` | `%s` | `%s` | %s |\n", verdict, id, stamp, signature, why)
	}
	return "| your code must | `webhook-id` | `webhook-timestamp` | `webhook-signature` | why |\n|---|---|---|---|---|\n" +
		f("genuine", "evt_vector", now, body, vectorKey, "SIG", true) +
		f("one of two signatures is genuine: a key is being rotated", "evt_vector", now, body, vectorKey, "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= SIG", true) +
		f("another body was signed", "evt_vector", now, `{"type":"pong"}`, vectorKey, "SIG", false) +
		f("another id was signed", "evt_another", now, body, vectorKey, "SIG", false) +
		f("signed with another key", "evt_vector", now, body, other, "SIG", false) +
		f("signed ten minutes ago", "evt_vector", now.Add(-10*time.Minute), body, vectorKey, "SIG", false) +
		f("signed ten minutes ahead", "evt_vector", now.Add(10*time.Minute), body, vectorKey, "SIG", false) +
		f("no version before the signature", "evt_vector", now, body, vectorKey, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", false)
}

func accepted(t *testing.T, id, stamp, signature, body string, now time.Time) bool {
	t.Helper()
	k, err := signing.StandardKey(vectorKey)
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", stamp)
	h.Set("webhook-signature", signature)
	return signing.StandardWebhooks{}.Verify(h, []byte(body), signing.Keyring{k}, now) == nil
}
