package format

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"testing"
	"time"

	"countersign/kyc"
)

// standardBody is the whole change. The order of its fields is part of the contract.
type standardBody struct {
	Type      string       `json:"type"`
	Timestamp string       `json:"timestamp"`
	Data      standardData `json:"data"`
}

type standardData struct {
	ID               string           `json:"id"`
	Sequence         uint64           `json:"sequence"`
	PreviousSequence uint64           `json:"previous_sequence"`
	Partner          string           `json:"partner"`
	Subject          standardSubject  `json:"subject"`
	Status           kyc.Status       `json:"status"`
	PreviousStatus   kyc.Status       `json:"previous_status"`
	Check            kyc.CheckView    `json:"check,omitzero"`
	Document         kyc.Document     `json:"document,omitzero"`
	Reasons          []kyc.ReasonPair `json:"reasons"`
	Retryable        bool             `json:"retryable"`
	Terminal         bool             `json:"terminal"`
	ApprovedAt       string           `json:"approved_at,omitempty"`
	ExpiresAt        string           `json:"expires_at,omitempty"`
	Livemode         bool             `json:"livemode"`

	NeedsConfirmation bool       `json:"needs_confirmation,omitempty"` // unsigned evidence claims it
	ClaimedStatus     kyc.Status `json:"claimed_status,omitempty"`
	DecidedBy         string     `json:"decided_by,omitempty"` // of what takes away: the record whose finding stands
}

// standardSubject leaves out the provider's ref, which stands with the check it belongs to.
type standardSubject struct {
	ID   string `json:"id"`
	Kind string `json:"kind,omitempty"`
}

func judgeStandard(c kyc.Change, previousSequence uint64) ([]byte, error) {
	return encode(standardBody{Type: c.Type, Timestamp: formatTime(moment(&c)), Data: newStandardData(c, previousSequence)})
}

func newStandardData(c kyc.Change, previousSequence uint64) standardData {
	reasons := c.Reasons
	if reasons == nil {
		reasons = []kyc.ReasonPair{} // always a list
	}
	d := standardData{
		ID:               c.ID,
		Sequence:         c.Sequence,
		PreviousSequence: previousSequence,
		Partner:          c.Partner,
		Subject:          standardSubject{ID: c.Subject.ID, Kind: c.Subject.Kind},
		Status:           c.Status,
		PreviousStatus:   c.PreviousStatus,
		Check:            c.Check,
		Document:         c.Document,
		Reasons:          reasons,
		Retryable:        c.Retryable,
		Terminal:         c.Terminal,
		ApprovedAt:       known(c.ApprovedAt),
		ExpiresAt:        known(c.ExpiresAt),
		Livemode:         c.Livemode,

		NeedsConfirmation: c.NeedsConfirmation,
		ClaimedStatus:     c.ClaimedStatus,
	}
	if c.Status == kyc.InReview || c.Status == kyc.Rejected || c.Status == kyc.Suspended {
		d.DecidedBy = c.DecidedBy
	}
	return d
}

// cloudEvent is an event of CloudEvents 1.0 in structured mode. sequence and livemode are extension
// attributes.
type cloudEvent struct {
	SpecVersion     string       `json:"specversion"`
	ID              string       `json:"id"`
	Source          string       `json:"source"`
	Type            string       `json:"type"`
	Subject         string       `json:"subject"`
	Time            string       `json:"time"`
	DataContentType string       `json:"datacontenttype"`
	Sequence        string       `json:"sequence"`
	Livemode        bool         `json:"livemode"`
	Data            standardData `json:"data"`
}

func judgeCloudEvents(c kyc.Change, previousSequence uint64) ([]byte, error) {
	return encode(cloudEvent{
		SpecVersion:     "1.0",
		ID:              c.ID,
		Source:          "/partners/" + url.PathEscape(c.Partner),
		Type:            c.Type,
		Subject:         c.Partner + "/" + c.Subject.ID,
		Time:            formatTime(moment(&c)),
		DataContentType: "application/json",
		Sequence:        fmt.Sprintf("%020d", c.Sequence), // the sequence extension asks for text that orders as text
		Livemode:        c.Livemode,
		Data:            newStandardData(c, previousSequence),
	})
}

// oddTexts are what a field may hold, and what JSON has to say otherwise.
var oddTexts = []string{"", "", "acme", "a", "<b>&amp;", `"q"\\`, "line\nbreak\ttab\x00\x1f", "\x7f", "Zoë", "\u2028\u2029", "\xff\xfe", "日本", "emoji 🙂", "a/b c"}

// TestAppendStandard: what is written by hand is what encoding/json writes of the structs that say
// what stands where, byte for byte.
func TestAppendStandard(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	text := func() string { return oddTexts[rnd.IntN(len(oddTexts))] }
	at := func() (at time.Time) {
		switch rnd.IntN(3) {
		case 0:
			at = time.Unix(rnd.Int64N(4e9), rnd.Int64N(1e9)).In(time.FixedZone("", 3600*rnd.IntN(9)))
		case 1:
			at = time.Unix(rnd.Int64N(4e9), 0).UTC()
		}
		return at
	}
	some := func() bool { return rnd.IntN(2) == 0 }
	for range 20_000 {
		c := kyc.Change{
			ID: text(), Type: text(), Sequence: rnd.Uint64(), Partner: text(), Livemode: some(), Subject: kyc.Subject{ID: text(), Kind: text(), ProviderRef: text()},
			Status: kyc.Statuses[rnd.IntN(len(kyc.Statuses))], PreviousStatus: kyc.Status(text()), Check: kyc.CheckView{Type: kyc.Check(text()), Status: text(), Source: text(), Provider: text(), ProviderRef: text()},
			Document: kyc.Document{ID: text(), Type: text(), Subtype: text()}, Retryable: some(), Terminal: some(), NeedsConfirmation: some(), ClaimedStatus: kyc.Status(text()),
			ApprovedAt: at(), ExpiresAt: at(), DecidedBy: text(), OccurredAt: at(), ReceivedAt: at(), CauseID: text(),
		}
		if some() {
			c.Check = kyc.CheckView{}
		}
		if some() {
			c.Document = kyc.Document{}
		}
		for range rnd.IntN(3) {
			c.Reasons = append(c.Reasons, kyc.ReasonPair{Code: kyc.Reason(text()), ProviderCode: text()})
		}
		for _, f := range []struct {
			is, judge func(kyc.Change, uint64) ([]byte, error)
		}{{renderStandard, judgeStandard}, {renderCloudEvents, judgeCloudEvents}} {
			previous := rnd.Uint64()
			got, err := f.is(c, previous)
			want, judged := f.judge(c, previous)
			if err != nil || judged != nil || string(got) != string(want) {
				t.Fatalf("%s (%v)\nwant %s (%v)", got, err, want, judged)
			}
		}
	}
}

// BenchmarkRender is what it costs to render a change for one endpoint.
func BenchmarkRender(b *testing.B) {
	at := time.Date(2026, 5, 1, 12, 30, 15, 123456000, time.UTC)
	c := kyc.Change{
		ID: "evt_01KM2VSGN1Q0KF3ZB6H8D4YTAC", Type: "kyc.status.rejected", Sequence: 6, Partner: "acme", Livemode: true, Subject: kyc.Subject{ID: "user-00007919", Kind: kyc.Individual}, Status: kyc.Rejected, PreviousStatus: kyc.InReview,
		Check: kyc.CheckView{Type: kyc.IdentityVerification, Status: "failed", Source: "sumsub-eu", Provider: "sumsub", ProviderRef: "64f1c0a5b9e77c0001001eef"}, Reasons: []kyc.ReasonPair{{Code: kyc.DocumentUnreadable, ProviderCode: "UNSATISFACTORY_PHOTOS"}},
		Retryable: true, DecidedBy: "01KM2VSGN1Q0KF3ZB6H8D4YTAC", OccurredAt: at, ReceivedAt: at, CauseID: "01KM2VSGN1Q0KF3ZB6H8D4YTAC",
	}
	for _, f := range All {
		b.Run(f.Name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.Render(c, 5); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
