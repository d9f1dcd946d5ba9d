package control

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"countersign/outbox/store"
)

// stored is how many bytes of records the file holds.
func (g *rig) stored() (bytes int) {
	g.t.Helper()
	err := g.store.View(func(tx *store.Tx) error {
		for _, name := range store.Names() {
			if err := tx.Bucket(name).ForEach(func(k, v []byte) error {
				bytes += len(k) + len(v)
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return bytes
}

// TestRefusedCallsCostNothing: a partner's calls that are refused leave next to nothing in the file
// and in the log, whatever stands in them, and say back no more than a line.
func TestRefusedCallsCostNothing(t *testing.T) {
	g := newRig(t)
	before, logged := g.stored(), len(g.log.String())
	megabyte := strings.Repeat("x", 1_000_000)
	for i := range 150 {
		a := g.call("pia", "POST", "/v1/submissions", fmt.Sprintf(`{"%d-%s":1}`, i, megabyte))
		if a.code != 400 && a.code != 429 || len(a.body) > 2000 {
			t.Fatalf("call %d: %d, %d bytes", i, a.code, len(a.body))
		}
	}
	if used := g.stored() - before; used > 1<<18 {
		t.Errorf("150 refused calls of 1 MB each have used %d bytes of the file", used)
	}
	if lines := len(g.log.String()) - logged; lines > 150*1000 {
		t.Errorf("they have left %d bytes in the log", lines)
	}
}

// TestTextsAreBounded: whatever a caller sends is kept, logged and said back cut on a rune, and
// nothing in it is obeyed by a terminal.
func TestTextsAreBounded(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := bounded(in); got != want {
			t.Errorf("bounded(%q) = %q, want %q", in, got, want)
		}
	}
	f("/v1/users/Zoë/kyc", "/v1/users/Zoë/kyc")
	f("", "")
	f("a\x1b[2J\x00\n\u0085", `a\x1b[2J\x00\n\u0085`)
	f("\u202eevil\u200b\u2028\ufeff", `\u202eevil\u200b\u2028\ufeff`)
	f("\xff\xc3", `\xff\xc3`)
	f(`a\nb`, `a\\nb`) // is not the newline
	f(strings.Repeat("x", 256), strings.Repeat("x", 256))
	f(strings.Repeat("x", 257), strings.Repeat("x", 256)+"… (cut, 257 bytes)")
	f(strings.Repeat("é", 200), strings.Repeat("é", 128)+"… (cut, 400 bytes)")
	f(strings.Repeat("x", 255)+"é", strings.Repeat("x", 255)+"… (cut, 257 bytes)")
	f(strings.Repeat("\x00", 100), strings.Repeat(`\x00`, 64)+"… (cut, 100 bytes)")
}

// TestRefusalsAreRationed: of one token's refused calls only so many are kept, however fast they
// come; what is done is always kept, and others are not rationed for it.
func TestRefusalsAreRationed(t *testing.T) {
	clock := &clock{now: time.Now().Add(-time.Hour)}
	g := newRig(t, func(o *Options) { o.Now = clock.read })
	for i := range 3 * refusedBurst {
		if a := g.call("pia", "POST", "/v1/submissions", `{"source":"nobody"}`); a.code/100 != 4 {
			t.Fatalf("call %d: %d %s", i, a.code, a.body)
		}
	}
	kept := func(actor string) int {
		t.Helper()
		return len(g.call("vera", "GET", "/v1/audit?limit=1000&actor="+actor, "").data(t))
	}
	if n := kept("pia"); n != refusedBurst {
		t.Errorf("%d refused calls are kept, want %d", n, refusedBurst)
	}
	clock.add(refusedEvery + time.Second)
	for range 10 {
		g.call("pia", "POST", "/v1/submissions", `{"source":"nobody"}`)
	}
	if n := kept("pia"); n != refusedBurst+1 {
		t.Errorf("%d refused calls are kept after a while, want one more", n)
	}
	g.call("otto", "POST", "/v1/submissions", `{"source":"nobody"}`)
	if n := kept("otto"); n != 1 {
		t.Errorf("of another token %d are kept", n)
	}
	for i := range 3 {
		if a := g.call("pia", "POST", "/v1/submissions", fmt.Sprintf(`{"subject":"s%d","source":"sumsub-eu","provider_ref":"r-%d"}`, i, i)); a.code != 200 {
			t.Fatalf("%d %s", a.code, a.body)
		}
	}
	if n := kept("pia"); n != refusedBurst+4 {
		t.Errorf("%d calls are kept after three that were done", n)
	}
	if got := g.metric("control_audited_calls_total", "result", "refused_not_recorded"); got != 3*refusedBurst-refusedBurst+9 {
		t.Errorf("%v are counted as not kept", got)
	}
}
