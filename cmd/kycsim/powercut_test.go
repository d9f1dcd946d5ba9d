package main

import (
	"io"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCutModes(t *testing.T) {
	if _, err := modesOf([]string{"cut", "nonsense"}); err == nil || !strings.Contains(err.Error(), `no mode "nonsense", but cut, flush-eio`) {
		t.Errorf("modesOf = %v", err)
	}
	field, _ := reflect.TypeFor[powercutCmd]().FieldByName("Mode")
	modes, err := modesOf(strings.Split(field.Tag.Get("default"), ","))
	if err != nil || len(modes) != len(cutModes) {
		t.Fatalf("by default %d of %d modes, %v", len(modes), len(cutModes), err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, m := range modes {
		for range 100 {
			p := m.plan(rng)
			if !slices.Contains([]string{"", "write", "flush", "grow"}, p.Call) || p.CutAfter < 0 != m.hangs || p.Errno != 0 && p.Call == "" {
				t.Fatalf("%s: %+v", m.name, p)
			}
			if m.ends != (p.Errno != 0) || p.Hang != m.hangs {
				t.Fatalf("%s: %+v", m.name, p)
			}
		}
	}
}

func TestCutReport(t *testing.T) {
	f := func(want, wantExpected bool, change func(r *cutReport)) {
		t.Helper()
		for _, expected := range []bool{false, true} {
			r := cutReport{Mode: "flush-eio", Cuts: 5, Failed: 5, Unflushed: 100, Databases: 1, Found: findings{Acked: 100}, ready: new(latencies)}
			change(&r)
			r.judge(expected)
			if !expected && r.OK != want || expected && r.OK != wantExpected {
				t.Errorf("%+v, failure expected: %t", r, expected)
			}
			var out strings.Builder
			if err := r.print(&out, true); err != nil || !strings.Contains(out.String(), "flush-eio") {
				t.Errorf("%v: %s", err, &out)
			}
		}
	}
	f(true, false, func(*cutReport) {})
	f(false, true, func(r *cutReport) { r.Found.Lost = 1 })
	f(false, true, func(r *cutReport) { r.Destroyed = 1 })
	f(false, false, func(r *cutReport) { r.Crashed = 1 })
	f(false, false, func(r *cutReport) { r.Found.OutOfOrder = 1 })
	f(false, false, func(r *cutReport) { r.Found.Acked = 0 })                                           // nothing could be lost
	f(false, false, func(r *cutReport) { r.Mode, r.Unflushed, r.Failed = "cut (not flush-eio)", 0, 0 }) // the same
	f(false, false, func(r *cutReport) { r.Failed = 0 })                                                // nothing went wrong
	f(false, false, func(r *cutReport) { r.GivenUp = 1 })
	f(false, false, func(r *cutReport) { r.problem("settled") })
}

// Every count of every database is in the sum.
func TestFindingsAdd(t *testing.T) {
	var one, sum findings
	v := reflect.ValueOf(&one).Elem()
	for i := range v.NumField() {
		if v.Field(i).Kind() == reflect.Int {
			v.Field(i).SetInt(int64(i + 1))
		}
	}
	one.example("x")
	sum.add(&one)
	sum.add(&one)
	s := reflect.ValueOf(sum)
	for i := range s.NumField() {
		if f := s.Field(i); f.Kind() == reflect.Int && f.Int() != int64(2*(i+1)) {
			t.Errorf("%s is %d after adding %d twice", s.Type().Field(i).Name, f.Int(), i+1)
		}
	}
	if len(sum.Examples) != 2 {
		t.Errorf("examples %q", sum.Examples)
	}
}

// A disk that cannot be shown says so at once, and leaves nothing running.
func TestDiskThatEnds(t *testing.T) {
	for _, binary := range []string{"/bin/false", "/bin/true"} {
		began := time.Now()
		if _, err := startDisk(t.Context(), binary, filepath.Join(t.TempDir(), "data"), io.Discard); err == nil || time.Since(began) > obeysWithin {
			t.Errorf("%s: %v after %s", binary, err, time.Since(began))
		}
	}
}
