package format

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/kyc"
	"countersign/signing"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	approvedTime = time.Date(2026, 3, 19, 9, 20, 0, 1_000_000, time.UTC)
	expiryTime   = time.Date(2027, 3, 19, 9, 20, 0, 1_000_000, time.UTC)
	changeTime   = time.Date(2026, 5, 2, 10, 0, 0, 0, time.UTC)
)

// because is one way a change may be reasoned.
type because struct {
	name                string
	retryable, terminal bool
	reasons             []kyc.ReasonPair
}

var becauses = []because{
	{"plain", false, false, nil},
	{"unreadable", true, false, []kyc.ReasonPair{{Code: kyc.DocumentUnreadable, ProviderCode: "LOW_QUALITY"}}},
	{"unreadable for good", false, true, []kyc.ReasonPair{{Code: kyc.DocumentUnreadable, ProviderCode: "LOW_QUALITY"}}},
	{"hit and mismatch", true, false, []kyc.ReasonPair{{Code: kyc.DataMismatch}, {Code: kyc.SanctionsMatch, ProviderCode: "SANCTIONS"}}},
	{"fraud", false, true, []kyc.ReasonPair{{Code: kyc.FraudSuspected, ProviderCode: "FORGERY"}, {Code: kyc.LivenessFailed}}},
}

// changeOf builds the status change a fold could owe. The word "expiring" stands for the notice to
// an approved subject.
func changeOf(previous, status kyc.Status, b because) kyc.Change {
	c := kyc.Change{
		ID: "evt_01JPN3", Type: "kyc.status." + string(status), Sequence: 7, Partner: "acme",
		Subject:        kyc.Subject{ID: "user-001", ProviderRef: "65f2a9c4", Kind: kyc.Individual},
		Status:         status,
		PreviousStatus: previous,
		Check: kyc.CheckView{
			Type: kyc.IdentityVerification, Source: "sumsub-eu", Provider: "sumsub", ProviderRef: "65f2a9c4",
		},
		Reasons: b.reasons, Retryable: b.retryable, Terminal: b.terminal,
		OccurredAt: changeTime, ReceivedAt: changeTime.Add(time.Second), CauseID: "01JPN3",
	}
	if status == expiring {
		c.Status = kyc.Approved
	}
	c.Check.Status = checkWord(c.Status)
	if c.Status == kyc.Approved || c.Status == kyc.Expired {
		c.ApprovedAt, c.ExpiresAt = approvedTime, expiryTime
	}
	return c
}

// checkWord and documentWord are what the fold calls a check and a document of this status.
func checkWord(status kyc.Status) string {
	return cmp.Or(map[kyc.Status]string{
		kyc.NotStarted: "pending", kyc.Pending: "pending", kyc.InReview: "review_required", kyc.Approved: "clear", kyc.Rejected: "failed",
	}[status], string(status))
}

func documentWord(status kyc.Status) string {
	switch status {
	case kyc.Approved:
		return "approved"
	case kyc.Rejected, kyc.Expired, kyc.Suspended:
		return "rejected"
	default:
		return "processing"
	}
}

// words are all that can stand on either side of a change: the statuses, the notice, and one that
// does not exist yet.
var words = append(slices.Clone(kyc.Statuses), expiring, "paused")

// eachChange calls f for every pair of words, reasoned in every way.
func eachChange(f func(name string, c kyc.Change)) {
	for _, previous := range words {
		for _, status := range words {
			for _, b := range becauses {
				f(fmt.Sprintf("%s -> %s, %s", previous, status, b.name), changeOf(previous, status, b))
			}
		}
	}
}

// eachOther calls f for every pair of words of a check and of a document, reasoned in these ways.
// There is no notice about either.
func eachOther(reasons []because, f func(name string, c kyc.Change)) {
	for _, previous := range words {
		for _, status := range words {
			if previous == expiring || status == expiring {
				continue
			}
			for _, b := range reasons {
				name := fmt.Sprintf("%s -> %s, %s", previous, status, b.name)
				check := changeOf(previous, status, b)
				check.Type = "kyc.check." + check.Check.Status
				f("check: "+name, check)
				f("document: "+name, documentOf(previous, status, b))
			}
		}
	}
}

func documentOf(previous, status kyc.Status, b because) kyc.Change {
	c := changeOf(previous, status, b)
	c.Type, c.Check.Type = "kyc.document."+documentWord(status), kyc.DocumentVerification
	c.Document = kyc.Document{ID: "d1", Type: "PASSPORT", Subtype: "PASSPORT"}
	return c
}

func mustRender(t *testing.T, f Format, c kyc.Change, previousSequence uint64) []byte {
	t.Helper()
	b, err := f.Render(c, previousSequence)
	if err != nil {
		t.Fatalf("%s: %v", f.Name, err)
	}
	return b
}

func TestGolden(t *testing.T) {
	for _, f := range All {
		var got bytes.Buffer
		line := func(name string, c kyc.Change) {
			body := mustRender(t, f, c, 5)
			if body == nil {
				body = []byte("nothing is owed")
			}
			fmt.Fprintf(&got, "%s: %s\n", name, body)
		}
		eachChange(line)
		eachOther(becauses[1:2], line)
		path := filepath.Join("testdata", f.Name+".golden")
		if *update {
			if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		gotLines, wantLines := strings.Split(got.String(), "\n"), strings.Split(string(want), "\n")
		if len(gotLines) != len(wantLines) {
			t.Errorf("%s: %d lines, want %d", path, len(gotLines), len(wantLines))
		}
		for i := range min(len(gotLines), len(wantLines)) {
			if gotLines[i] != wantLines[i] {
				t.Errorf("%s:%d:\n got %s\nwant %s", path, i+1, gotLines[i], wantLines[i])
			}
		}
	}
}

func TestRenderIsPure(t *testing.T) {
	for _, f := range All {
		eachChange(func(name string, c kyc.Change) {
			before, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			first := mustRender(t, f, c, 5)
			c.OccurredAt = c.OccurredAt.In(time.FixedZone("elsewhere", 3600))
			second := mustRender(t, f, c, 5)
			c.OccurredAt = c.OccurredAt.UTC()
			after, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(first, second) || !bytes.Equal(before, after) {
				t.Errorf("%s: %s: not pure", f.Name, name)
			}
			if first != nil && (first[len(first)-1] != '}' || !json.Valid(first)) {
				t.Errorf("%s: %s: not one JSON object: %s", f.Name, name, first)
			}
		})
	}
}

func TestSignThenVerify(t *testing.T) {
	older, newer := "whsec_bSvML0JVUh267rI0nTQaHlvVv8cRQaNx", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	key := func(text string) signing.Key {
		k, err := signing.StandardKey(text)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	ring := signing.Keyring{key(newer), key(older)}
	for _, f := range All {
		if err := signing.CheckKeys(f.Scheme, ring); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
		c := changeOf(kyc.InReview, kyc.Approved, becauses[0])
		body := mustRender(t, f, c, 5)
		for attempt := range 3 { // every attempt is signed afresh
			at := changeTime.Add(time.Duration(attempt) * time.Hour)
			h := http.Header{}
			if err := f.Scheme.Sign(h, signing.Message{ID: c.ID, Time: at, Body: body}, ring); err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
			if err := f.Scheme.Verify(h, body, ring[1:], at.Add(time.Minute)); err != nil {
				t.Errorf("%s, attempt %d: a partner with the older key refuses: %v", f.Name, attempt, err)
			}
			if err := f.Scheme.Verify(h, append(slices.Clone(body), ' '), ring, at); !errors.Is(err, signing.ErrMismatch) {
				t.Errorf("%s, attempt %d: another body: %v", f.Name, attempt, err)
			}
		}
	}
}

func TestAll(t *testing.T) {
	seen, contentTypes := map[string]bool{}, []string{"application/json", "application/cloudevents+json"}
	for _, f := range All {
		if f.Name == "" || seen[f.Name] || !slices.Contains(contentTypes, f.ContentType) || f.Scheme == nil || f.Render == nil || len(f.Gaps) == 0 {
			t.Errorf("%q is incomplete or stands twice", f.Name)
		}
		seen[f.Name] = true
		if got, ok := ByName(f.Name); !ok || got.Name != f.Name {
			t.Errorf("ByName(%q) = %q, %v", f.Name, got.Name, ok)
		}
	}
	if _, ok := ByName("xml"); ok {
		t.Error("found a format that does not exist")
	}
	if All[0].Name != "standard" || len(All) != 6 {
		t.Errorf("%d formats, %s first", len(All), All[0].Name)
	}
}
