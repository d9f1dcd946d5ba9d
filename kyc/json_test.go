package kyc

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// fill sets every field of v, or leaves some empty, at random: a field that AppendJSON does not
// know is found by its absence.
func fill(r *rand.Rand, v reflect.Value, empty float64) {
	if v.Kind() != reflect.Struct && r.Float64() < empty {
		return
	}
	texts := []string{"user-001", "a\"b", "<x>&", "ünï", "tab\there", "", "plain text", "\x7f", "\u2028", "bad\xff"}
	switch v.Interface().(type) {
	case time.Time:
		if r.Float64() >= empty {
			v.Set(reflect.ValueOf(time.Unix(r.Int64N(4e9), r.Int64N(3)*1e6).UTC()))
		}
		return
	default:
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(texts[r.IntN(len(texts))])
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(r.Int64N(1000) - 1)
	case reflect.Uint64:
		v.SetUint(r.Uint64N(1000))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(3), 3))
		for i := range v.Len() {
			fill(r, v.Index(i), empty)
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(r, field, empty)
		}
	default:
		panic("a field of kind " + v.Kind().String())
	}
}

// AppendJSON is a contract's spelling (docs/EVENTS.md): it must never differ from what encoding/json
// makes of the tags.
func TestAppendJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20000 {
		empty := []float64{0, 0.3, 0.9, 1}[r.IntN(4)]
		var u Update
		fill(r, reflect.ValueOf(&u).Elem(), empty)
		var c Change
		fill(r, reflect.ValueOf(&c).Elem(), empty)
		f := func(got []byte, v any) {
			t.Helper()
			want, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Fatalf("AppendJSON\n%s\nencoding/json\n%s", got, want)
			}
		}
		f(u.AppendJSON(nil), u)
		f(c.AppendJSON(nil), c)
	}
}
