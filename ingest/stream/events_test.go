package stream

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// TestReader: what a stream says, however its bytes come. A torn event at its end is not returned.
func TestReader(t *testing.T) {
	f := func(stream string, want ...string) {
		t.Helper()
		for what, in := range map[string]io.Reader{
			"at once": strings.NewReader(stream), "byte by byte": iotest.OneByteReader(strings.NewReader(stream)), "by halves": iotest.HalfReader(strings.NewReader(stream)),
		} {
			r, got := newReader(in, 20, noticed), []string{}
			for {
				e, err := r.next()
				if err != nil {
					if !errors.Is(err, io.EOF) {
						t.Errorf("%q %s: %v", stream, what, err)
					}
					break
				}
				text := string(e.data)
				if e.cut {
					text += "…"
				}
				if e.gap {
					text += "#"
				}
				got = append(got, text)
			}
			if strings.Join(got, "|") != strings.Join(want, "|") || len(got) != len(want) {
				t.Errorf("%q %s: %q, want %q", stream, what, got, want)
			}
		}
	}
	f("")
	f("data: a\n\n", "a")
	f("data: a\r\n\r\ndata: b\r\n\r\n", "a", "b")
	f("data: a\r\rdata: b\r\r", "a", "b")
	f("data: a\n\r\ndata: b\r\n\n", "a", "b")
	f("data:a\ndata:  b\ndata\ndata:\n\n", "a\n b\n\n")
	f("\xef\xbb\xbfdata: a\n\ndata: \xef\xbb\xbfb\n\n", "a", "\xef\xbb\xbfb")
	f("id: 7\nevent: x\nretry: 1\ndata: a\nother\n\n", "a")
	f("Data: a\n data: b\ndatab: c\n\n", "")
	f(": heartbeat\n\n:\n\n\n", "", "", "")
	f(": dropped 7\n: heartbeat\ndata: a\n\ndata: dropped\n\n", "a#", "dropped")
	f("data: a\n:dropped\n\n\n", "a#", "")
	f("data: a\n\ndata: torn", "a")
	f("data: a\n\ndata: torn\n", "a") // its end has not come
	f("data: "+strings.Repeat("x", 20)+"\n\n", strings.Repeat("x", 20))
	f("data: "+strings.Repeat("x", 21)+"\n\ndata: b\n\n", strings.Repeat("x", 20)+"…", "b")
	f("data: "+strings.Repeat("x", 9999)+"\n\ndata: b\n\n", strings.Repeat("x", 20)+"…", "b")
	f(strings.Repeat("data: 1234567\n", 9)+"\ndata: b\n\n", "1234567\n1234567\n1234…", "b")
	f(strings.Repeat("data\n", 99)+"\ndata: b\n\n", strings.Repeat("\n", 20)+"…", "b")
	f(":"+strings.Repeat("x", 9999)+"\ndata: b\n\n", "b")
}

func noticed(comment []byte) bool { return strings.Contains(string(comment), "dropped") }

// TestMore: it is said that another event has come only if next will not wait for it.
func TestMore(t *testing.T) {
	f := func(rest string, want bool) {
		t.Helper()
		r := newReader(io.MultiReader(strings.NewReader("data: a\r\n\r\n"+rest), iotest.ErrReader(errors.New("it waits"))), 100, nil)
		if _, err := r.next(); err != nil {
			t.Fatal(err)
		}
		if got := r.more(); got != want {
			t.Errorf("%q: more %v", rest, got)
		}
		if _, err := r.next(); want && err != nil {
			t.Errorf("%q: %v", rest, err)
		}
	}
	f("", false)
	f("data: b", false)
	f("data: b\n", false)
	f("data: b\n\n", true)
	f("data: b\r\n\r\n", true)
	f("data: b\r\r", true)
	f(": heartbeat\n\ndata: b", true)
}

// FuzzReader: no stream makes a reader return or hold more than its limit, nor say something else
// when it comes in pieces.
func FuzzReader(f *testing.F) {
	for _, s := range []string{"data: a\n\n", "data: a\r\n\r\n: x\n\n", "data\rdata:b\n\n", "\xef\xbb\xbfdata: a\n\n", "data: " + strings.Repeat("x", 99) + "\n\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		const limit = 16
		whole, pieces := newReader(strings.NewReader(string(stream)), limit, noticed), newReader(iotest.OneByteReader(strings.NewReader(string(stream))), limit, noticed)
		for {
			a, errA := whole.next()
			b, errB := pieces.next()
			if string(a.data) != string(b.data) || a.cut != b.cut || a.gap != b.gap || (errA == nil) != (errB == nil) {
				t.Fatalf("%+v, %v; in pieces %+v, %v", a, errA, b, errB)
			}
			if errA != nil {
				return
			}
			if len(a.data) > limit || len(whole.line) > limit+maxName {
				t.Fatalf("%d bytes of an event, %d of a line", len(a.data), len(whole.line))
			}
		}
	})
}
