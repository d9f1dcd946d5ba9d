package kyc

import (
	"fmt"
	"testing"
	"time"
)

// life is what one provider says about a person, in order.
func life(n int) (us []Update) {
	for i, r := range []rank{rankNotStarted, rankPending, rankRejected, rankPending, rankInReview, rankApproved} {
		u := obs(sumsub, "inspection", 10*n+i, r)
		u.ID = UpdateID("sumsub", []string{fmt.Sprint(n, i)}, Observation, u.Check, u.Scope, "", 0, u.OccurredAt)
		u.ReceivedAt = u.OccurredAt.Add(1500 * time.Millisecond)
		us = append(us, u)
	}
	return us
}

// BenchmarkApply is what a record of a person with one provider costs: applied, judged, told, and
// when time will change it. Bound: 5 µs.
func BenchmarkApply(b *testing.B) {
	us := life(0)
	b.ReportAllocs()
	for b.Loop() {
		var s State
		for i := range us {
			s.Apply(us[i:i+1], Policy{})
			s.Next(Policy{})
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(us)), "ns/record")
}

// BenchmarkCodec is what reading and writing such a person costs.
func BenchmarkCodec(b *testing.B) {
	var s State
	for _, u := range life(0) {
		s.Apply([]Update{u}, Policy{})
	}
	data, _ := s.MarshalBinary()
	b.ReportMetric(float64(len(data)), "bytes")
	b.ReportAllocs()
	for b.Loop() {
		var n State
		if n.UnmarshalBinary(data) != nil {
			b.Fatal("damaged")
		}
		if data, _ = n.AppendBinary(data[:0]); len(data) == 0 {
			b.Fatal("empty")
		}
	}
}
