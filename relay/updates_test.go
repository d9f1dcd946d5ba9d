package relay

import (
	"fmt"
	"math/rand/v2"
	"time"

	"countersign/kyc"
)

// t0 is yesterday morning: what was approved then runs out long after the tests.
var t0 = time.Now().UTC().Truncate(24 * time.Hour).Add(-15 * time.Hour)

func at(minute int) time.Time { return t0.Add(time.Duration(minute) * time.Minute) }

// said is what sumsub said about acme's subject at a minute of its clock.
func said(subject string, minute int, s kyc.Status) kyc.Update {
	u := kyc.Update{
		SchemaVersion: 1, Kind: kyc.Observation, Source: "sumsub-eu", Provider: "sumsub", Partner: "acme", Livemode: true,
		Subject: kyc.Subject{ID: subject, ProviderRef: "p-" + subject, Kind: kyc.Individual}, Verification: kyc.Verification{Ref: "s-" + subject},
		Scope: kyc.Overall, Check: kyc.IdentityVerification, Status: s, Authenticity: kyc.Signed,
		OccurredAt: at(minute), OccurredAtOrigin: kyc.OriginProvider, ReceivedAt: at(minute).Add(time.Second),
	}
	return named(u)
}

// named gives an update the id that its content makes.
func named(u kyc.Update) kyc.Update {
	u.ID = ""
	u.ID = kyc.UpdateID(u.Source, []string{fmt.Sprintf("%+v", u)}, u.Kind, u.Check, u.Scope, "", 0, u.OccurredAt)
	return u
}

// byRef takes our own id out of an update, as a provider does that does not know it.
func byRef(u kyc.Update) kyc.Update {
	u.Subject.ID = ""
	return named(u)
}

func inTest(u kyc.Update) kyc.Update {
	u.Livemode = false
	return named(u)
}

func because(u kyc.Update, code kyc.Reason) kyc.Update {
	u.Reasons = []kyc.ReasonPair{{Code: code}}
	return named(u)
}

// weakly is an update that nothing but an address vouches for.
func weakly(u kyc.Update) kyc.Update {
	u.Authenticity = kyc.Network
	return named(u.Gate(kyc.Signed))
}

// history is what one generation of random updates draws from.
type history struct {
	*rand.Rand
	all []kyc.Update
}

// randomUpdates makes n updates about a few people: of three providers, in test and live mode, with
// and without our id, repeated, late, wrong and weak.
func randomUpdates(seed uint64, n int) []kyc.Update {
	h := &history{Rand: rand.New(rand.NewPCG(seed, 1))}
	for len(h.all) < n {
		h.all = append(h.all, h.next())
	}
	return h.all
}

func (h *history) chance(percent int) bool { return h.IntN(100) < percent }

func pick[T any](h *history, from ...T) T { return from[h.IntN(len(from))] }

func (h *history) next() kyc.Update {
	if len(h.all) > 0 && h.chance(10) {
		return h.all[h.IntN(len(h.all))] // sent again
	}
	who := fmt.Sprint("user-", h.IntN(5))
	u := said(who, h.IntN(300), pick(h, kyc.Statuses...))
	if h.chance(30) {
		u.Partner = "globex"
		who += "-g"
		u.Subject.ID = who
	}
	if u.Livemode = h.chance(85); !u.Livemode {
		who += "-t"
	}
	u.Provider = pick(h, "sumsub", "persona", "rebilly")
	u.Source = u.Provider + "-eu"
	u.Subject.ProviderRef = "p-" + who
	u.Verification = kyc.Verification{Ref: fmt.Sprint("s-", who, h.IntN(3))}
	if h.chance(40) {
		u.Verification.ParentRef = "q-" + who
	}
	h.vary(&u)
	if h.chance(30) { // known by one of its refs only
		u.Subject.ID = ""
		switch h.IntN(3) {
		case 0:
			u.Subject.ProviderRef = ""
		case 1:
			u.Verification.Ref = ""
		}
	} else if h.chance(3) {
		u.Verification.Ref = fmt.Sprint("s-user-", h.IntN(5), h.IntN(3)) // somebody else's, perhaps
	}
	if h.chance(12) {
		return weakly(u)
	}
	return named(u)
}

// vary makes some updates be about steps and documents, and gives some reasons.
func (h *history) vary(u *kyc.Update) {
	switch {
	case h.chance(15):
		u.Scope, u.Check = kyc.CheckScope, kyc.Screening
	case h.chance(15):
		u.Scope, u.Check, u.Document = kyc.DocumentScope, kyc.DocumentVerification, kyc.Document{ID: "d1", Type: "identity-proof"}
	}
	switch u.Status {
	case kyc.Rejected:
		u.Reasons = []kyc.ReasonPair{{Code: pick(h, kyc.DocumentUnreadable, kyc.FraudSuspected, kyc.SanctionsMatch, kyc.OtherReason)}}
		u.Retryable = h.chance(50)
		u.Terminal = !u.Retryable && h.chance(20)
	case kyc.Expired:
		u.ExpiryKind = pick(h, kyc.ExpiryAttempt, kyc.ExpiryValidity)
	default:
	}
}
