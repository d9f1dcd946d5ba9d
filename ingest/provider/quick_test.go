package provider

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// bodies are all types that a callback or an answer is decoded into as a whole, and some that have
// what no adapter has yet.
var bodies = []reflect.Type{
	reflect.TypeFor[alloyBody](), reflect.TypeFor[alpacaBody](), reflect.TypeFor[blendfiBody](), reflect.TypeFor[bluumBody](), reflect.TypeFor[checkrBody](),
	reflect.TypeFor[complycubeBody](), reflect.TypeFor[diditBody](), reflect.TypeFor[dojahBody](), reflect.TypeFor[footprintBody](), reflect.TypeFor[idenfyBody](),
	reflect.TypeFor[idnowBody](), reflect.TypeFor[jumioBody](), reflect.TypeFor[jumioAnswer](), reflect.TypeFor[middeskBody](), reflect.TypeFor[onfidoBody](),
	reflect.TypeFor[onfidoCheckAnswer](), reflect.TypeFor[onfidoReport](), reflect.TypeFor[onfidoRun](), reflect.TypeFor[personaBody](), reflect.TypeFor[plaidBody](),
	reflect.TypeFor[plaidAnswer](), reflect.TypeFor[rebillyBody](), reflect.TypeFor[shuftiBody](), reflect.TypeFor[smileBody](), reflect.TypeFor[socureBody](),
	reflect.TypeFor[socureData](), reflect.TypeFor[stripeBody](), reflect.TypeFor[sumsubBody](), reflect.TypeFor[truliooBody](), reflect.TypeFor[truliooAnswer](),
	reflect.TypeFor[veratadBody](), reflect.TypeFor[veriffBody](), reflect.TypeFor[everyForm](),
}

type everyForm struct {
	embeddedForm
	Text    string            `json:"text"`
	ID      ident             `json:"id"`
	Truth   bool              `json:"truth"`
	Word    veriffText        `json:"word"`
	Other   [3]veriffText     `json:"other"`
	There   *bool             `json:"there"`
	Value   jsontext.Value    `json:"value"`
	Raw     raw[embeddedForm] `json:"raw"`
	Object  object            `json:"object"`
	Number  float64           `json:"number"`
	Any     any               `json:"any"`
	Map     map[string]ident  `json:"map"`
	Bytes   []byte            `json:"bytes"`
	At      time.Time         `json:"at"`
	Texts   []string          `json:"texts"`
	IDs     [][]ident         `json:"ids"`
	Nested  *everyForm        `json:"nested"`
	Several []everyForm       `json:"several"`
}

type embeddedForm struct {
	Inner ident `json:"inner"`
	Deep  struct {
		Text string `json:"text"`
	} `json:"deep"`
}

// asSlowly reads a body in both ways, and wants nothing of the quick one that the other does not
// say too.
func asSlowly(t *testing.T, typ reflect.Type, body []byte) (quick, sound bool) {
	t.Helper()
	one, other := reflect.New(typ), reflect.New(typ)
	quick = quickly(body, one.Elem())
	err := decodeAs(body, other.Interface(), shapeOf(typ))
	if quick && err != nil {
		t.Errorf("%v: %q is read, and is refused as %v", typ, body, err)
	}
	if quick && !reflect.DeepEqual(one.Interface(), other.Interface()) {
		t.Errorf("%v: %q is read as\n%+v, want\n%+v", typ, body, one.Elem(), other.Elem())
	}
	return quick, err == nil
}

// TestQuickly: what adapters are tested with is read at once, and to the same.
func TestQuickly(t *testing.T) {
	quick, sound := map[string]int{}, map[string]int{}
	for _, a := range All {
		for _, x := range texts(t, a) {
			for _, typ := range bodies {
				if !strings.HasPrefix(typ.Name(), strings.Split(a.Name, "_")[0]) {
					continue
				}
				q, s := asSlowly(t, typ, x.body)
				if s {
					sound[a.Name]++
				}
				if q {
					quick[a.Name]++
				}
			}
		}
	}
	for _, name := range []string{"onfido", "persona", "sumsub", "veriff"} {
		if sound[name] < 10 || quick[name] < sound[name]*9/10 {
			t.Errorf("%s: %d of %d bodies are read at once", name, quick[name], sound[name])
		}
	}
}

// TestQuicklyDamaged: of a body that lacks a byte, or has another in its place, nothing is read that
// is not read of it else.
func TestQuicklyDamaged(t *testing.T) {
	for name, typ := range map[string]reflect.Type{
		"onfido": reflect.TypeFor[onfidoBody](), "persona": reflect.TypeFor[personaBody](), "sumsub": reflect.TypeFor[sumsubBody](), "veriff": reflect.TypeFor[veriffBody](),
	} {
		for _, event := range SampleEvents(name) {
			body, err := Sample(name, event, SampleVars{Subject: "user-7", At: time.Date(2026, 5, 1, 12, 30, 15, 0, time.UTC)})
			if err != nil {
				t.Fatal(err)
			}
			for i := range body {
				asSlowly(t, typ, slices.Delete(slices.Clone(body), i, i+1))
				for _, c := range []byte("\"\\,:{}[]0en\x00\xff ") {
					other := slices.Clone(body)
					other[i] = c
					asSlowly(t, typ, other)
				}
			}
		}
	}
}

// TestQuicklyFormed: the forms of values, as they are and as they are not.
func TestQuicklyFormed(t *testing.T) {
	values := []string{
		`null`, `true`, `false`, `"t"`, `""`, `"\u00e4\n\ud83d\ude00"`, `"\ud83d"`, `"\x"`, "\"\x01\"", "\"\u00fc\"", `0`, `-0`, `17`, `-17`, `01`, `1.`, `1.5`, `1e3`, `1E+3`, `1e`, `.5`, `+1`, `-`,
		`{}`, `[]`, `{"a":1}`, `{"value":"v","zz":1}`, `{"value":"v","value":"w"}`, `{"value":null}`, `{"a":1,}`, `{,}`, `{"a" 1}`, `{a:1}`, `[1]`, `[1,]`, `[,1]`, `[1 2]`, `["a","b","c","d","e","f"]`, `[["1"],[2,null],[]]`, `[null]`, `{"inner":1,"inner":2}`,
		`{"inner":1,"INNER":2}`, `{"inn\u0065r":1}`, `{"inner":"x","deep":{"text":"y"}}`, `{"text":"a","nested":{"text":"b","several":[{"text":"c"},{"id":7,"texts":["d"]}]}}`,
		`tru`, `truee`, `nul`, `"2026-05-01T12:30:15Z"`, `"AQID"`, ``, ` `, `}`, `]`, strings.Repeat("[", 200) + strings.Repeat("]", 200), strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200),
	}
	quick := 0
	typ := reflect.TypeFor[everyForm]()
	for f := range typ.Fields() {
		key := f.Tag.Get("json")
		for _, v := range values {
			for _, body := range []string{
				`{"` + key + `":` + v + `}`, ` { "zz" : ` + v + ` , "` + key + `" : ` + v + ` } `, `{"` + key + `":` + v + `,"` + key + `":1}`, `{"` + strings.ToUpper(key) + `":` + v + `}`,
				`{"` + key + `":` + v, `{"` + key + `":` + v + `}x`, `{"` + key + `":` + v + "}\x00", "\ufeff{\"" + key + `":` + v + "}", "{\"" + key + `":` + v + ",\"z\xff\":1}", `[{"` + key + `":` + v + `}]`, v,
			} {
				if q, _ := asSlowly(t, typ, []byte(body)); q {
					quick++
				}
			}
		}
	}
	if quick < 500 {
		t.Errorf("%d bodies were read at once", quick)
	}
}

// TestQuicklyKeepsNothing: what is read of one body is not in the memory of another, and no text of
// a body refers to it.
func TestQuicklyKeepsNothing(t *testing.T) {
	one := []byte(`{"text":"first","id":"second","deep":{"text":"third"},"texts":["fourth"]}`)
	var a, b everyForm
	if !quickly(one, reflect.ValueOf(&a).Elem()) {
		t.Fatal("not read at once")
	}
	clear(one)
	if !quickly([]byte(`{"text":"zzzzz","id":"yyyyyy","nested":{"text":"x"}}`), reflect.ValueOf(&b).Elem()) {
		t.Fatal("not read at once")
	}
	if got, _ := json.Marshal([]any{a.Text, a.ID, a.Deep.Text, a.Texts, b.Text, b.ID, b.Nested.Text, b.Deep.Text}); string(got) != `["first","second","third",["fourth"],"zzzzz","yyyyyy","x",""]` {
		t.Errorf("read %s", got)
	}
}

// FuzzQuickly: no body is read at once to anything else than by decodeAs.
func FuzzQuickly(f *testing.F) {
	for _, a := range All {
		for _, x := range fixtures(f, a) {
			for i, typ := range bodies {
				if strings.HasPrefix(typ.Name(), strings.Split(a.Name, "_")[0]) {
					f.Add(uint8(i), x.body)
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, i uint8, body []byte) { asSlowly(t, bodies[int(i)%len(bodies)], body) })
}
