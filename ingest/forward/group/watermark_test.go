package group

import (
	"strings"
	"testing"
	"time"
)

var mark = Watermark{Updates: 5, Receipts: 1234, Version: Version{Registry: 17, Rules: 3}, Mark: 41, Taken: 43, At: time.Date(2027, 1, 10, 9, 20, 0, 0, time.UTC), Node: "relay-2"}

// TestWatermark holds the text, which other versions read.
func TestWatermark(t *testing.T) {
	const text = `{"v":1,"r":1234,"version":{"registry":17,"rules":3},"mark":41,"taken":43,"at":"2027-01-10T09:20:00Z","node":"relay-2"}`
	if got, err := mark.Metadata(); got != text || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	if got, err := ParseWatermark(5, text); got != mark || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	f := func(updates int64, text, why string) {
		t.Helper()
		if w, err := ParseWatermark(updates, text); err == nil || !strings.Contains(err.Error(), why) || w != (Watermark{}) {
			t.Errorf("%+v, %v, want %s", w, err, why)
		}
	}
	f(5, "", "EOF")
	f(5, "relay-2", "invalid")
	f(5, text+"x", "behind")
	f(5, text+text, "behind")
	f(-1, text, "offset -1")
	f(5, strings.Replace(text, `"v":1`, `"v":2`, 1), "format 2")
	f(5, `{}`, "format 0")
	f(5, strings.Replace(text, `"mark"`, `"new":1,"mark"`, 1), "new")
	f(5, strings.Replace(text, `1234`, `-1`, 1), "receipt -1")
	f(5, strings.Replace(text, `"mark":41`, `"mark":44`, 1), "generation 44")
	f(5, strings.Replace(text, `41`, `-41`, 1), "mark")
	g := func(change func(*Watermark), why string) {
		t.Helper()
		w := mark
		change(&w)
		if text, err := w.Metadata(); err == nil || !strings.Contains(err.Error(), why) || text != "" {
			t.Errorf("%s, %v, want %s", text, err, why)
		}
	}
	g(func(w *Watermark) { w.Node = strings.Repeat("n", maxMetadata) }, "node's name")
	g(func(w *Watermark) { w.Taken = 40 }, "generation 41")
	g(func(w *Watermark) { w.Receipts = -1 }, "receipt -1")
	g(func(w *Watermark) { w.At = time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC) }, "year")
}

// FuzzWatermark: what is read is what would be written, and comes back as it is.
func FuzzWatermark(f *testing.F) {
	text, err := mark.Metadata()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(int64(5), text)
	f.Add(int64(0), `{"v":1}`)
	f.Fuzz(func(t *testing.T, updates int64, text string) {
		w, err := ParseWatermark(updates, text)
		if err != nil {
			return
		}
		again, err := w.Metadata()
		if err != nil {
			if len(text) < maxMetadata/6 { // a character may take six bytes
				t.Fatalf("%q is read, and not written: %v", text, err)
			}
			return
		}
		if got, err := ParseWatermark(updates, again); err != nil || got != w {
			t.Fatalf("%+v, %v, want %+v", got, err, w)
		}
	})
}
