package main

import (
	"fmt"
	"strings"
	"testing"
)

// TestLogDeliveries: deliveries that are accepted are in the log if log.deliveries says all, which
// counts after a reload; that a partner was told stands in the history in any case.
func TestLogDeliveries(t *testing.T) {
	r := newReloader(t)
	lines := func() int { return strings.Count(r.log.String(), `"msg":"delivery_attempt"`) }
	told := 0
	tell := func() {
		t.Helper()
		told++
		who := fmt.Sprint("user-", told)
		if err := give(fresh(), r.callback("steady", "a-key-that-is-good-002", who, "approved")); err != nil {
			t.Fatal(err)
		}
		eventually(t, who+" is told", func() bool {
			_, text := r.call(r.token, "/v1/subjects/acme/"+who)
			return len(r.one.all()) == told && strings.Contains(text, `"outcome":"done"`)
		})
	}
	say := func(deliveries string) {
		t.Helper()
		write(t, r.dir, "countersign.yaml", r.write(0)+"\nlog: {deliveries: "+deliveries+"}\n")
		if _, err := r.reload(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	tell()
	tell()
	if n := lines(); n != 0 {
		t.Errorf("%d lines of deliveries that were accepted", n)
	}
	say("all")
	tell()
	eventually(t, "it has a line", func() bool { return lines() == 1 })
	say("failures")
	tell()
	if n := lines(); n != 1 {
		t.Errorf("%d lines of deliveries that were accepted, want 1", n)
	}
}
