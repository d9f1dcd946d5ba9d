package control

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/relay"
	"countersign/relay/dispatch"
	"countersign/relay/format"

	"countersign/relay/control/api"
)

// fill gives everything that can be set a value of its own, so that whatever is not taken over is
// missed.
func fill(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(string(rune('a'+r.IntN(26))) + string(rune('a'+r.IntN(26))) + string(rune('a'+r.IntN(26))))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1 + r.Int64N(1e9))
	case reflect.Float64:
		v.SetFloat(float64(1+r.Int64N(1e9)) / 1000)
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(1 + r.Uint64N(200))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(r, v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(r, v.Index(0))
		fill(r, v.Index(1))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, item := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(r, key)
			fill(r, item)
			v.SetMapIndex(key, item)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(r.Int64N(1<<31), r.Int64N(1e9)).UTC()))
			return
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Tag.Get("json") != "-" {
				fill(r, v.Field(i))
			}
		}
	default:
		panic(v.Kind().String())
	}
}

// alike reports a view that is written otherwise than the record it is made of, but for what the
// view has beside it.
func alike[T, V any](t *testing.T, view func(*T) V, beside ...string) {
	t.Helper()
	for seed := range uint64(20) {
		var record T
		fill(rand.New(rand.NewPCG(seed, 0)), reflect.ValueOf(&record).Elem())
		want, got := fields(t, record), fields(t, view(&record))
		for _, name := range beside {
			if got[name] == nil {
				t.Errorf("%T shows no %s", *new(V), name)
			}
			delete(got, name)
			delete(want, name)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%T is shown as\n%v\nand is\n%v", record, got, want)
		}
	}
}

func fields(t *testing.T, v any) (m map[string]any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestViewsLoseNothing: what is shown of each record is all of it, under the names that it always
// had.
func TestViewsLoseNothing(t *testing.T) {
	alike(t, viewWithheld)
	alike(t, viewEndpoint)
	alike(t, viewItem)
	alike(t, func(a *journal.Answer) *api.KeptAnswer { return viewAnswer(a) })
	alike(t, viewUnrouted)
	alike(t, viewQuestion, "id")
	alike(t, viewAside)
	alike(t, viewContested)
	alike(t, viewDecided)
	alike(t, viewPolicy)
	alike(t, viewStatus)
	alike(t, viewCheckState)
	alike(t, viewStanding)
	alike(t, viewRecord)
	alike(t, viewUpdate)
	alike(t, viewChange)
	alike(t, viewOutcome)
	alike(t, viewSubject)
	alike(t, func(s *format.BlendFiStatus) api.BlendFiUser { return viewBlendFi(*s, nil) })
}

// TestNoNulls: a list that has nothing in it is shown as one, and not as null.
func TestNoNulls(t *testing.T) {
	f := func(v any, names ...string) {
		t.Helper()
		for _, name := range names {
			if list, ok := fields(t, v)[name].([]any); !ok || len(list) != 0 {
				t.Errorf("%T: %s is %v", v, name, fields(t, v)[name])
			}
		}
	}
	f(viewSubject(&relay.SubjectView{}), "checks", "why", "records", "changes", "deliveries")
	f(viewDecided(&relay.Decided{}), "changes")
	f(viewEffect(&relay.Effect{}), "endpoints")
	f(api.Page[api.Token](nil, false), "data")
	var none []dispatch.EndpointView
	f(api.Page(each(none, viewEndpoint), false), "data")
	if m, ok := fields(t, viewPlan(&relay.PolicyPlan{}, false))["becomes"].(map[string]any); !ok || len(m) != 0 {
		t.Error("a plan that moves nobody has no becomes")
	}
}
