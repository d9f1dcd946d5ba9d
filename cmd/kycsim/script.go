package main

import (
	"fmt"
	"strings"
	"time"

	"countersign/kyc"
)

// step is one event of a script: a sample, and the status that partners have to be told when it
// follows the step before.
type step struct {
	sample string
	status kyc.Status
}

// script is the life of one person at one provider. Every step is a real change of status, so that
// each event owes exactly one kyc.status delivery.
type script struct {
	resolution time.Duration // of the provider's times
	once       []step
	loop       []step // after once, for as long as it takes; empty: the person's life ends
}

// scripts are ours, not the adapters': what a sample must come to is written down here a second
// time, by hand. No step is terminal unless it is the last. A milder word after a graver one would
// be no change: what takes away stays until an approval answers it.
var scripts = map[string]script{
	"sumsub":  {resolution: time.Millisecond, loop: []step{{"approved", kyc.Approved}, {"on_hold", kyc.InReview}, {"rejected_retry", kyc.Rejected}}},
	"persona": {resolution: time.Millisecond, loop: []step{{"approved", kyc.Approved}, {"marked_for_review", kyc.InReview}, {"failed", kyc.Rejected}}},
	"blendfi": {resolution: time.Second, loop: []step{{"approved", kyc.Approved}, {"rejected", kyc.Rejected}}},
	// Its evidence is a password: the source has to be configured with evidence: authenticated. A
	// failed request is final.
	"rebilly": {resolution: time.Second, once: []step{{"request_attempted", kyc.Pending}, {"request_fulfilled", kyc.Approved}, {"request_failed", kyc.Rejected}}},
}

// step is the n-th event of a person.
func (s *script) step(n int) step {
	if n < len(s.once) {
		return s.once[n]
	}
	return s.loop[(n-len(s.once))%len(s.loop)]
}

// longest is how many events a person can have, at most limit.
func (s *script) longest(limit int) int {
	if len(s.loop) == 0 {
		return min(limit, len(s.once))
	}
	return limit
}

// parseScript reads "sample=status,sample=status": a loop for an adapter that has no script of its
// own, or another than that.
func parseScript(text string) (script, error) {
	s := script{resolution: time.Second} // the coarsest any provider has
	for part := range strings.SplitSeq(text, ",") {
		sample, status, ok := strings.Cut(part, "=")
		if !ok || sample == "" || status == "" {
			return s, fmt.Errorf("script: %q is not sample=status", part)
		}
		s.loop = append(s.loop, step{sample, kyc.Status(status)})
	}
	for i := range s.loop {
		if next := s.loop[(i+1)%len(s.loop)]; next.status == s.loop[i].status {
			return s, fmt.Errorf("script: %s is followed by another %s, which would be no change", s.loop[i].sample, next.status)
		}
	}
	return s, nil
}
