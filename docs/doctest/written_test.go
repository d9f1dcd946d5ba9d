package doctest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/ingest/provider"
	"countersign/kyc"
)

var (
	t0 = time.Date(2026, 3, 19, 9, 20, 0, 1e6, time.UTC)

	digest = strings.Repeat("9f", 32)
	trace  = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
)

// complete adds what only a source knows, as the ingress does.
func complete(u kyc.Update, a provider.Adapter, name string) kyc.Update {
	u.SchemaVersion, u.Kind, u.Source, u.Provider, u.Partner = 1, kyc.Observation, a.Name+"-eu", a.Name, "acme"
	u.Authenticity, u.AdapterVersion, u.BodySHA256, u.ReceivedAt = a.Evidence, a.Version, digest, t0
	u.ID = kyc.UpdateID(u.Source, []string{name}, u.Kind, u.Check, u.Scope, "", 0, u.OccurredAt)
	u, _ = u.Gate(kyc.Signed).Clamp()
	return u
}

// TestWhatAdaptersSay: every update of every fixture of every provider is as it is described.
func TestWhatAdaptersSay(t *testing.T) {
	s, n := open(t, "update.schema.json"), 0
	for _, a := range provider.All {
		files, err := filepath.Glob(filepath.Join("../../ingest/provider/testdata", a.Name, "*.txtar"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has no fixtures: %v", a.Name, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			res, err := a.Translate(http.Header{}, []byte(section(string(text), "body")), options(section(string(text), "options")))
			if err != nil {
				continue // unreadable on purpose
			}
			for i := range res.Updates {
				u := complete(res.Updates[i], a, fmt.Sprint(file, i))
				s.holds(t, u.AppendJSON(nil))
				n++
			}
		}
	}
	if n < 500 {
		t.Errorf("only %d updates: have the fixtures moved?", n)
	}
}

// section is what stands below "-- name --".
func section(text, name string) string {
	_, rest, _ := strings.Cut("\n"+text, "\n-- "+name+" --\n")
	body, _, _ := strings.Cut(rest, "\n-- ")
	return body
}

func options(lines string) provider.Options {
	o := provider.Options{}
	for line := range strings.Lines(lines) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		o[k] = v
	}
	return o
}

// anything makes up a record about one subject.
func anything(r *rand.Rand, i int) kyc.Update {
	pick := func(all ...string) string { return all[r.IntN(len(all))] }
	at := t0.Add(time.Duration(r.IntN(200)) * time.Hour)
	u := kyc.Update{
		SchemaVersion: 1, Kind: kyc.Kind(pick("observation", "observation", "observation", "confirmation", "decision")), Source: pick("a", "b"), Provider: "p",
		ProviderEvent: kyc.ProviderEvent{ID: pick("", "e"), Type: pick("", "t"), Revision: r.Int64N(3)}, Partner: "acme", Livemode: true,
		Subject: kyc.Subject{ID: "user-001", ProviderRef: pick("", "ref"), Kind: pick("", kyc.Individual, kyc.Company)}, Verification: kyc.Verification{Ref: pick("v", "w")},
		Scope: kyc.Scope(pick("overall", "check", "document")), Check: kyc.Checks[r.IntN(len(kyc.Checks))], Status: kyc.Statuses[r.IntN(len(kyc.Statuses))],
		Retryable: r.IntN(2) == 0, Authenticity: kyc.Authenticity(pick("signed", "authenticated", "network")), OccurredAt: at, OccurredAtOrigin: kyc.OriginProvider,
		ReceivedAt: at.Add(time.Minute), BodySHA256: digest, AdapterVersion: 1, Traceparent: pick("", trace),
	}
	switch u.Status {
	case kyc.Rejected, kyc.InReview:
		u.Terminal = u.Status == kyc.Rejected && !u.Retryable
		for range r.IntN(3) {
			u.Reasons = append(u.Reasons, kyc.ReasonPair{Code: kyc.Priority[r.IntN(len(kyc.Priority))], ProviderCode: pick("", "X")})
		}
	case kyc.Expired:
		u.ExpiryKind = kyc.ExpiryKind(pick("validity", "attempt"))
	case kyc.Approved:
		u.Check = kyc.IdentityVerification // else nobody would ever be approved
		if r.IntN(2) == 0 {
			u.ExpiresAt = at.AddDate(0, r.IntN(4), 0)
		}
	default:
	}
	switch u.Scope {
	case kyc.DocumentScope:
		u.Document = kyc.Document{ID: pick("", "d"), Type: pick("identity-proof", "address-proof"), Subtype: pick("", "passport")}
		u.Check = kyc.DocumentVerification
	case kyc.Overall:
	default:
	}
	if u.Kind == kyc.Decision {
		u.Release, u.Actor, u.Note = u.Status == kyc.NotStarted, "ops", "because"
	}
	if u.Kind == kyc.Confirmation {
		u.AskedAt = at
	}
	u.ID = kyc.UpdateID(u.Source, []string{fmt.Sprint(i, r.Uint64())}, u.Kind, u.Check, u.Scope, "", 0, at)
	return u.Gate(kyc.Signed)
}

// TestWhatIsDecided: every change that comes of any history, and every record in it, timers
// included, is as it is described; and the types and words that the schema names are those that
// come.
func TestWhatIsDecided(t *testing.T) {
	update, change := open(t, "update.schema.json"), open(t, "change.schema.json")
	types, views := map[string]bool{}, map[string]bool{}
	for seed := range uint64(600) {
		r := rand.New(rand.NewPCG(seed, 1))
		var s kyc.State
		p := kyc.Policy{Version: 1}
		sequence := uint64(0)
		take := func(u kyc.Update) {
			update.holds(t, u.AppendJSON(nil))
			owed, _ := s.Apply([]kyc.Update{u}, p)
			for i := range owed {
				change.holds(t, owed[i].AppendJSON(nil))
				types[owed[i].Type], views[owed[i].Check.Status] = true, true
				if sequence++; owed[i].Sequence != sequence {
					t.Fatalf("seed %d: sequence %d after %d", seed, owed[i].Sequence, sequence-1)
				}
			}
		}
		for i := range 12 {
			take(anything(r, i))
		}
		for range 4 { // and time goes by
			due, ok := s.Next(p)
			if !ok {
				break
			}
			u := due.Update()
			u.ReceivedAt = u.OccurredAt
			take(u)
		}
		if t.Failed() {
			t.Fatal("seed", seed)
		}
	}
	delete(views, "") // a status that no check decides
	f := func(path string, got map[string]bool) {
		t.Helper()
		want := change.examples(path)
		slices.Sort(want)
		if came := slices.Sorted(maps.Keys(got)); !slices.Equal(came, want) {
			t.Errorf("%s: came\n%v\nthe schema says\n%v", path, came, want)
		}
	}
	f("type", types)
	f("check.status", views)
}
