package outbox

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestExchange: what is written of an exchange is read, and costs little where there is little to
// say: every delivery has one.
func TestExchange(t *testing.T) {
	f := func(x Exchange, most int) {
		t.Helper()
		b := x.AppendTo(nil)
		if len(b) > most {
			t.Errorf("%+v takes %d bytes, want %d at most", x, len(b), most)
		}
		got, rest, ok := ReadExchange(append(b, "behind"...))
		if !ok || string(rest) != "behind" || got != x {
			t.Errorf("%+v is read as %+v, %q, %v", x, got, rest, ok)
		}
		for i := range b {
			if _, _, ok := ReadExchange(b[:i]); ok {
				t.Errorf("%d bytes of %d are taken for %+v", i, len(b), x)
			}
		}
	}
	v4, v6 := netip.MustParseAddrPort("192.0.2.7:443"), netip.MustParseAddrPort("[2001:db8::1]:8443")
	f(Exchange{}, 2)
	f(Exchange{Reused: true, FirstByte: 3217 * time.Microsecond, Address: v4}, 9)
	f(Exchange{DNS: time.Microsecond, FirstByte: time.Hour, Address: v6}, 30)
	f(Exchange{DNS: 12 * time.Millisecond, Connect: 30 * time.Millisecond, TLS: 61 * time.Millisecond, FirstByte: 9 * time.Millisecond, Address: v4}, 18)
	f(Exchange{Reused: true, FirstByte: time.Millisecond, Address: v4, Answer: Answer{Text: `{"ok":true}`, Type: "application/json", Bytes: 11}}, 23)
	f(Exchange{Answer: Answer{Text: "no\n", Type: "text/x-odd", Bytes: 80 << 10, Cut: true}}, 22)
	f(Exchange{Answer: Answer{Type: "image/png", Bytes: 70, Gone: true}}, 14)
	f(Exchange{Answer: Answer{Text: strings.Repeat("x", MaxText), Type: strings.Repeat("t", 191), Bytes: MaxText}}, MaxText+210)

	x := Exchange{Reused: true, FirstByte: time.Millisecond, Address: v4}
	b := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() { b = x.AppendTo(b[:0]) }); n != 0 {
		t.Errorf("%v allocations for an exchange that says nothing", n)
	}
}

// TestTypesStay: the places of types are on disk.
func TestTypesStay(t *testing.T) {
	if len(types) > literalType || types[0] != "" || types[1] != "application/json" || types[11] != "text/html; charset=iso-8859-1" {
		t.Errorf("%q", types)
	}
}

func FuzzExchange(f *testing.F) {
	x := Exchange{Reused: true, DNS: 1, Address: netip.MustParseAddrPort("[2001:db8::1]:8443"), Answer: Answer{Text: "a", Type: "b", Bytes: 1}}
	f.Add(x.AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, rest, ok := ReadExchange(b)
		if !ok || x.Answer.Bytes < 0 {
			return
		}
		if again, _, ok := ReadExchange(x.AppendTo(nil)); !ok || x.Answer.Text != "" && again.Answer.Text != x.Answer.Text {
			t.Errorf("%+v is read again as %+v; %d bytes were left", x, again, len(rest))
		}
	})
}

func FuzzDecodeTry(f *testing.F) {
	a := Attempt{Outcome: Died, Reason: "http_5xx", Code: 503, At: base, Took: time.Second, RefusedTimes: 2, RefusedSince: base}
	f.Add(encodeTry(&a, reference{7, 9}, textInRing)[9:])
	f.Fuzz(func(t *testing.T, b []byte) {
		try, ref, kind, ok := decodeTry(b)
		if ok && kind == textInRing && len(b) < 9+9 {
			t.Errorf("%+v, %+v of %d bytes", try, ref, len(b))
		}
		_, _, _ = decodeSaid(b)
	})
}
