package kyc

import "testing"

// BenchmarkAppendJSON is what writing an update for the journal costs: every callback is.
func BenchmarkAppendJSON(b *testing.B) {
	u := life(0)[5]
	u.Source, u.Partner, u.Subject.ID = "sumsub-eu", "acme", "user-000000017"
	u.ProviderEvent = ProviderEvent{ID: "req-ec508a2a-fa33-4dd2-b93d-fcade2967e03", Type: "applicantReviewed"}
	u.BodySHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	buf := u.AppendJSON(nil)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf = u.AppendJSON(buf[:0])
	}
}
