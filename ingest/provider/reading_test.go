package provider

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
)

// The tests of this file hold every adapter to how bodies are read: strictly where they are, and
// not at all elsewhere. What an adapter reads, they find out by changing the bodies of its
// fixtures.

// text is a body of a fixture and how to read it: a callback, or an answer of the API.
type text struct {
	name string
	body []byte
	read func(body []byte) (Result, error)
}

// said is what a body means, in one text. The digest of a body, which differs wherever bodies do,
// is left out.
func (x text) said(t *testing.T, body []byte) string {
	t.Helper()
	r, err := x.read(body)
	sum := sha256.Sum256(body)
	return strings.ReplaceAll(asJSON(t, asWant(r, body, err)), hex.EncodeToString(sum[:]), "digest")
}

// texts lists the bodies of an adapter that are JSON.
func texts(t *testing.T, a Adapter) (all []text) {
	t.Helper()
	for _, f := range fixtures(t, a) {
		all = append(all, text{f.name, f.body, func(body []byte) (Result, error) { return a.Translate(http.Header{}, body, f.options) }})
	}
	for _, x := range questions(t, a) {
		for i := range x.answers {
			all = append(all, text{x.name, x.answers[i], func(body []byte) (Result, error) {
				answers := slices.Clone(x.answers)
				answers[i] = body
				r, err := a.API.Read(x.q, answers, x.options)
				r.Dedupe = append(r.Dedupe, "-") // a digest would be of all answers
				return r, err
			}})
		}
	}
	return slices.DeleteFunc(all, func(x text) bool { return !jsontext.Value(x.body).IsValid(lax) })
}

// place is a member of an object in a body, or, without a key, the object itself.
type place struct {
	path  string // in keys, with slashes
	key   string
	at    int    // where the member begins, or the inside of the object
	end   int    // behind the member
	value []byte // as it stands there
	empty bool   // an object without members
}

// places lists the objects of a body, and all their members.
func places(t *testing.T, body []byte) (objects, members []place) {
	t.Helper()
	d := jsontext.NewDecoder(bytes.NewReader(body), lax)
	var value func(path string)
	token := func() jsontext.Token {
		tok, err := d.ReadToken()
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	value = func(path string) {
		switch d.PeekKind() {
		case '{':
			token()
			at := int(d.InputOffset())
			objects = append(objects, place{path: path, at: at, empty: d.PeekKind() == '}'})
			for d.PeekKind() != '}' {
				name, err := d.ReadValue()
				if err != nil {
					t.Fatal(err)
				}
				end := int(d.InputOffset())
				m := place{path: path, key: string(name[1 : len(name)-1]), at: end - len(name)}
				members = append(members, m)
				i := len(members) - 1
				value(path + "/" + m.key)
				members[i].end = int(d.InputOffset())
				members[i].value = bytes.TrimLeft(body[end:members[i].end], ": \t\r\n")
			}
			token()
		case '[':
			for token(); d.PeekKind() != ']'; {
				value(path)
			}
			token()
		default:
			token()
		}
	}
	value("")
	return objects, members
}

// insert puts a text into a body.
func insert(body []byte, at int, more string) []byte {
	return slices.Concat(body[:at], []byte(more), body[at:])
}

// renamed gives a member another key.
func (m place) renamed(body []byte, key string) []byte {
	return slices.Concat(body[:m.at+1], []byte(key), body[m.at+1+len(m.key):])
}

// variant is a key in another case, "" if it has none.
func variantOf(key string) string {
	for i, r := range key {
		if unicode.IsLetter(r) && r < unicode.MaxASCII {
			return key[:i] + string(r^0x20) + key[i+1:]
		}
	}
	return ""
}

// allRead are the objects of which an adapter reads every key, whatever it is called, and what
// stands inside it: by adapter, as a pattern of the path.
var allRead = map[string]string{
	"alpaca":   `^/kyc_results?/`,
	"didit":    `^/decision$`,
	"dojah":    `^/data$`,
	"jumio":    `^/capabilities$`,
	"onfido":   `/breakdown(/.*)?$|/properties$`,
	"shufti":   `^/verification_result|^/services_declined_codes`,
	"smile_id": `/?Actions$`,
	"socure":   `/globalWatchlist/matches$`,
}

func readsAll(a Adapter, path string) bool {
	pattern, ok := allRead[a.Name]
	return ok && regexp.MustCompile(pattern).MatchString(path)
}

// TestDeaf: an object that the adapter does not read may hold what it likes, wherever it stands:
// two keys that differ in case, and the same key twice.
func TestDeaf(t *testing.T) {
	const what = `{"Related URL":1,"Related Url":2,"status":"no","status":"yes","id":[{"a":{"b":1,"b":2}}],"Id":"\ud83d"}`
	adapters := 0
	for _, a := range All {
		read := 0
		for _, x := range texts(t, a) {
			want := x.said(t, x.body)
			objects, _ := places(t, x.body)
			for _, o := range objects {
				if o.path != "" && readsAll(a, o.path) {
					continue
				}
				more := `"zz unread":` + what + `,`
				if o.empty {
					more = strings.TrimSuffix(more, ",")
				}
				if got := x.said(t, insert(x.body, o.at, more)); got != want {
					t.Errorf("%s/%s: something unread in %q makes of it %s\nand not %s", a.Name, x.name, o.path, got, want)
				}
				if r, err := x.read(x.body); err == nil && len(r.Updates)+len(r.Fetch) > 0 {
					read++
				}
			}
		}
		if read == 0 {
			t.Errorf("%s: nothing was read", a.Name)
		} else {
			adapters++
		}
	}
	if adapters != len(All) {
		t.Errorf("%d of %d adapters read it", adapters, len(All))
	}
}

// TestReadTwice: a key that the adapter reads makes a body ambiguous if it comes twice, or in a
// second spelling. In another spelling alone it is not that key.
func TestReadTwice(t *testing.T) {
	for _, a := range All {
		keys := map[string]bool{}
		for _, x := range texts(t, a) {
			want := x.said(t, x.body)
			if _, err := x.read(x.body); err != nil {
				continue
			}
			_, members := places(t, x.body)
			for _, m := range members {
				without := x.said(t, m.renamed(x.body, "zz"))
				if without == want {
					continue // not read, or of no consequence here
				}
				keys[m.path+"/"+m.key] = true
				refused := func(key string) {
					t.Helper()
					member := `"` + key + `":` + string(m.value)
					for _, body := range [][]byte{insert(x.body, m.at, member+","), insert(x.body, m.end, ","+member)} {
						if _, err := x.read(body); err == nil || !strings.HasSuffix(err.Error(), " names a key twice") {
							t.Errorf("%s/%s: %s/%s beside %q: %v", a.Name, x.name, m.path, m.key, key, err)
						}
					}
				}
				refused(m.key)
				v := variantOf(m.key)
				if v == "" {
					continue
				}
				refused(v)
				if got := x.said(t, m.renamed(x.body, v)); got != without && !readsAll(a, m.path) {
					t.Errorf("%s/%s: %s/%s as %q makes of it %s\nand without it is %s", a.Name, x.name, m.path, m.key, v, got, without)
				}
			}
		}
		if len(keys) < 5 {
			t.Errorf("%s: only %v were tried", a.Name, slices.Sorted(maps.Keys(keys)))
		}
	}
}

// TestMark: the mark of UTF-8 that some writers begin with means nothing.
func TestMark(t *testing.T) {
	for _, a := range All {
		for _, x := range texts(t, a) {
			if got, want := x.said(t, insert(x.body, 0, "\ufeff")), x.said(t, x.body); got != want {
				t.Errorf("%s/%s: %s, without the mark %s", a.Name, x.name, got, want)
			}
		}
	}
}

// TestNumbers: whoever writes an id as a number means its digits, and a time in digits may be a
// text. What is no whole number is nobody's id.
func TestNumbers(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 30, 15, 0, time.UTC)
	v := SampleVars{Subject: "1000000007", ProviderRef: "2000000007", SessionRef: "3000000007", EventID: "4000000007", Revision: 5000007, At: at}
	for _, a := range All {
		ids := 0
		for _, event := range SampleEvents(a.Name) {
			body, err := Sample(a.Name, event, v)
			if err != nil {
				t.Fatal(err)
			}
			x := text{event, body, func(body []byte) (Result, error) { return a.Translate(http.Header{}, body, nil) }}
			want := x.said(t, body)
			for _, id := range []string{v.Subject, v.ProviderRef, v.SessionRef, v.EventID, strconv.Itoa(v.Revision), strconv.FormatInt(at.Unix(), 10), strconv.FormatInt(at.UnixMilli(), 10)} {
				asNumber, asText := bytes.ReplaceAll(body, []byte(`"`+id+`"`), []byte(id)), regexp.MustCompile(`([:,\[] ?)`+id+`([,}\]])`).ReplaceAll(body, []byte(`$1"`+id+`"$2`))
				for _, other := range [][]byte{asNumber, asText} {
					if got := x.said(t, other); got != want {
						t.Errorf("%s/%s: %s becomes %s\nwant %s", a.Name, event, other, got, want)
					}
				}
				if bytes.Equal(asNumber, body) || x.said(t, bytes.ReplaceAll(body, []byte(id), []byte("9"+id[1:]))) == want {
					continue
				}
				ids++
				for _, no := range []string{id + ".0", id + "e0", id[:3] + "E7", "true", `["` + id + `"]`, `{"id":"` + id + `"}`} {
					if _, err := x.read(bytes.ReplaceAll(body, []byte(`"`+id+`"`), []byte(no))); err == nil {
						t.Errorf("%s/%s: %s is read in the place of %s", a.Name, event, no, id)
					}
				}
			}
		}
		if ids == 0 {
			t.Errorf("%s: no id was tried", a.Name)
		}
	}
}
