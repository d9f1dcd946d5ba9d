package registry

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/outbox/store"
	"countersign/relay/format"
	"countersign/signing"
)

// kept are the ids of what the file has of an endpoint's keys.
func (g *rig) kept(endpoint string) (ids []string) {
	g.t.Helper()
	err := g.store.View(func(tx *store.Tx) error {
		ks, err := g.readKept(tx, endpoint)
		for _, k := range ks {
			ids = append(ids, k.ID)
		}
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return ids
}

// keyed is a rig with an endpoint of a format, without keys in the config, and a clock of its own.
func keyed(t *testing.T, formatName string) (g *rig, now *time.Time, configure func()) {
	t.Helper()
	f, ok := format.ByName(formatName)
	if !ok {
		t.Fatal(formatName)
	}
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	g = newRig(t)
	partners := []Partner{{ID: "acme", Endpoints: []Endpoint{{ID: "a", Format: f}, {ID: "b", Format: f, Keys: []Key{{Key: mustGenerate(t)}}}}}}
	configure = func() {
		g.again(partners...)
		g.o.Now = func() time.Time { return at }
	}
	configure()
	g.run()
	if _, _, err := g.FirstKey(t.Context(), "a", func(string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	configure()
	return g, &at, configure
}

func mustGenerate(t *testing.T) signing.Key {
	t.Helper()
	_, k, err := signing.GenerateKey(strings.NewReader(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func ids(keys []Key) (list []string) {
	for _, k := range keys {
		list = append(list, k.ID)
	}
	return list
}

// TestRotate: a new key signs first, at once and after a restart; the one before signs until its
// overlap has ended, and one before that keeps its own end.
func TestRotate(t *testing.T) {
	g, now, configure := keyed(t, "standard")
	first := g.Read().Keys("a")[0]
	held := g.Read()
	second, err := g.Rotate(t.Context(), "a", signing.Ed25519, 2*time.Hour, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(held.Keys("a")) != 1 {
		t.Error("a snapshot that is held has changed")
	}
	third, err := g.Rotate(t.Context(), "a", signing.HMAC, time.Hour, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := func(after time.Duration, want ...string) {
		t.Helper()
		at := now.Add(after)
		var got []string
		for _, k := range g.Read().Keys("a") {
			if k.Signs(at) {
				got = append(got, k.ID)
			}
		}
		if !slices.Equal(got, want) || len(g.Read().Ring("a", at)) != len(want) {
			t.Errorf("after %v %v sign, want %v", after, got, want)
		}
	}
	for range 2 {
		f(0, third.ID, second.ID, first.ID)
		f(time.Hour-1, third.ID, second.ID, first.ID)
		f(time.Hour, third.ID, first.ID)
		f(2*time.Hour, third.ID)
		f(10*365*24*time.Hour, third.ID)
		configure() // a restart
	}
	if k := g.Read().Keys("a")[1].Key; k.Kind() != signing.Ed25519 || k.Public() != second.Key.Key.Public() || second.Secret != "" || !strings.HasPrefix(third.Secret, "whsec_") {
		t.Errorf("the second key is of kind %s", k.Kind())
	}
	*now = now.Add(90 * time.Minute)
	fourth, err := g.Rotate(t.Context(), "a", signing.HMAC, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if f(0, fourth.ID, first.ID); !slices.Equal(g.kept("a"), []string{fourth.ID, first.ID}) {
		t.Errorf("kept are %v", g.kept("a"))
	}
	if unique := slices.Compact(slices.Sorted(slices.Values([]string{first.ID, second.ID, third.ID, fourth.ID}))); len(unique) != 4 {
		t.Error("two keys have one id")
	}
}

// TestRotateRefused: what cannot be is refused, and nothing has changed.
func TestRotateRefused(t *testing.T) {
	g, now, _ := keyed(t, "blendfi")
	before := g.kept("a")
	f := func(endpoint string, kind signing.Kind, overlap time.Duration, want error) {
		t.Helper()
		if m, err := g.Rotate(t.Context(), endpoint, kind, overlap, nil); !errors.Is(err, want) || (m.Secret != "") != (err == nil) {
			t.Errorf("%s, %s, %v: %v, want %v", endpoint, kind, overlap, err, want)
		}
	}
	f("a", signing.HMAC, -1, ErrOverlap)
	f("a", signing.HMAC, MaxOverlap+1, ErrOverlap)
	f("a", "rsa", time.Hour, ErrKind)
	f("a", signing.Ed25519, time.Hour, ErrNoEd25519)
	f("b", signing.HMAC, time.Hour, ErrKeysInConfig)
	f("c", signing.HMAC, time.Hour, ErrNoEndpoint)
	if !slices.Equal(g.kept("a"), before) {
		t.Error("a refusal has changed something")
	}
	for range MaxOldKeys {
		f("a", signing.HMAC, MaxOverlap, nil)
	}
	f("a", signing.HMAC, MaxOverlap, ErrManyKeys)
	if n := len(g.Read().Ring("a", *now)); n != MaxOldKeys+1 {
		t.Errorf("%d keys sign", n)
	}
	*now = now.Add(MaxOverlap)
	f("a", signing.HMAC, MaxOverlap, nil)
}

// TestRevoke: a key ends at once, here and after a restart; the newest of the rest signs for good;
// and the last that signs only makes way for another.
func TestRevoke(t *testing.T) {
	g, now, configure := keyed(t, "standard")
	first := g.Read().Keys("a")[0]
	f := func(id string, replace bool, wantErr error, wantMade bool) *Made {
		t.Helper()
		made, err := g.Revoke(t.Context(), "a", id, replace, nil)
		if !errors.Is(err, wantErr) || (made != nil) != wantMade {
			t.Fatalf("revoke %s: %v, made %v; want %v, %v", id, err, made != nil, wantErr, wantMade)
		}
		return made
	}
	f(first.ID, false, ErrLastKey, false)
	f("", false, ErrNoKey, false)
	f("key_0000000000000000", true, ErrNoKey, false)
	if _, err := g.Revoke(t.Context(), "b", "", true, nil); !errors.Is(err, ErrKeysInConfig) {
		t.Errorf("in the config: %v", err)
	}
	if _, err := g.Revoke(t.Context(), "c", first.ID, true, nil); !errors.Is(err, ErrNoEndpoint) {
		t.Errorf("no endpoint: %v", err)
	}
	second, err := g.Rotate(t.Context(), "a", signing.Ed25519, time.Hour, nil)
	if err != nil {
		t.Fatal(err)
	}
	f(second.ID, false, nil, false) // the newest
	for range 2 {
		keys := g.Read().Keys("a")
		if len(keys) != 1 || keys[0].ID != first.ID || !keys[0].Until.IsZero() || !keys[0].Signs(now.Add(24*time.Hour)) {
			t.Errorf("left are %v, the first until %v", ids(keys), keys[0].Until)
		}
		configure()
	}
	f(second.ID, false, ErrNoKey, false)
	third, err := g.Rotate(t.Context(), "a", signing.Ed25519, time.Hour, nil)
	if err != nil {
		t.Fatal(err)
	}
	*now = now.Add(time.Hour) // the overlap has ended, so the third is the last that signs
	f(third.ID, false, ErrLastKey, false)
	f(first.ID, false, ErrNoKey, false)
	made := f(third.ID, true, nil, true)
	if keys := g.Read().Keys("a"); len(keys) != 1 || keys[0].ID != made.ID || keys[0].Key.Kind() != signing.Ed25519 || keys[0].Key.Public() != made.Key.Key.Public() {
		t.Errorf("left are %v", ids(keys))
	}
}

// TestKeptKeysSurvive: one damaged copy costs nothing, two are said by name, and no key stands in
// the file in clear.
func TestKeptKeysSurvive(t *testing.T) {
	g, _, configure := keyed(t, "standard")
	made, err := g.Rotate(t.Context(), "a", signing.Ed25519, time.Hour, nil)
	if err != nil {
		t.Fatal(err)
	}
	name := []byte(endpointKey("a"))
	drop := func(fn func(store.Bucket) error) {
		t.Helper()
		if err := g.store.Update(t.Context(), func(tx *store.Tx) error { return fn(tx.Bucket(store.Registry)) }); err != nil {
			t.Fatal(err)
		}
	}
	drop(func(b store.Bucket) error { return b.Delete(name) })
	if configure(); len(g.Read().Keys("a")) != 2 || g.Read().Keys("a")[0].ID != made.ID {
		t.Error("the keys have no second copy")
	}
	db, err := os.ReadFile(g.store.Path())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{made.text, made.text[5:40], made.ID, "whsec_", "whsk_"} {
		if bytes.Contains(db, []byte(text)) {
			t.Errorf("%.8s… stands in the file in clear", text)
		}
	}
	drop(func(b store.Bucket) error { return b.PutTwice(name, []byte("not what was sealed")) })
	o := g.o
	o.Partners = nil
	if _, err := New(o); err != nil { // no partner has that endpoint
		t.Error(err)
	}
	o.Partners = []Partner{{ID: "acme", Endpoints: []Endpoint{{ID: "a"}}}}
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "read the keys of a") {
		t.Errorf("damaged keys: %v", err)
	}
}

// TestFirstKeyWithItsEndpoint: what makes an endpoint makes its first key in the same transaction,
// or neither.
func TestFirstKeyWithItsEndpoint(t *testing.T) {
	g := newRig(t)
	g.run()
	m, err := g.NewKey(signing.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("the endpoint has no room")
	for _, fails := range []error{full, nil} {
		err := g.store.Update(t.Context(), func(tx *store.Tx) error { return errors.Join(g.PutFirstKey(tx, "new", m), fails) })
		if !errors.Is(err, fails) || (g.kept("new") == nil) != (fails != nil) {
			t.Errorf("%v: %v, kept %v", fails, err, g.kept("new"))
		}
	}
	if err := g.Configure([]Partner{{ID: "acme", Endpoints: []Endpoint{{ID: "new"}}}}); err != nil {
		t.Fatal(err)
	}
	if keys := g.Read().Keys("new"); len(keys) != 1 || keys[0].ID != m.ID || keys[0].Key.Public() != m.Key.Key.Public() {
		t.Errorf("its keys are %v", ids(keys))
	}
}

// TestRotateAtOnce: rotations, revocations and new configurations at the same time end with a
// snapshot that is what the file says. The race detector judges too.
func TestRotateAtOnce(t *testing.T) {
	g, _, _ := keyed(t, "standard")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 25 {
				m, err := g.Rotate(t.Context(), "a", signing.HMAC, time.Hour, nil)
				if errors.Is(err, ErrManyKeys) {
					keys := g.Read().Keys("a")
					_, err = g.Revoke(t.Context(), "a", keys[len(keys)-1].ID, false, nil)
					if errors.Is(err, ErrNoKey) { // somebody else has
						err = nil
					}
				} else if err == nil && m.Secret == "" {
					t.Error("made nothing")
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 50 {
			if err := g.Configure(g.Read().Partners()); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if got, want := ids(g.Read().Keys("a")), g.kept("a"); !slices.Equal(got, want) {
		t.Errorf("the snapshot has %v, the file %v", got, want)
	}
	if s := fmt.Sprintf("%+v %#v", g.Read().Keys("a"), g.Read().Keys("a")); strings.Contains(s, "whsec_") {
		t.Error("a key prints")
	}
}

// TestKeysFollowTheDisk: while the disk has not taken it, a new key signs nothing, and one that is
// being revoked signs on; and nobody has been told otherwise.
func TestKeysFollowTheDisk(t *testing.T) {
	g, _, _ := keyed(t, "standard")
	first := g.Read().Keys("a")[0].ID
	f := func(before []string, call func() error) {
		t.Helper()
		busy, writer, told := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		go g.store.Update(t.Context(), func(*store.Tx) error {
			close(busy)
			<-writer
			return nil
		})
		<-busy // nothing is written from here on
		go func() { told <- call() }()
		select {
		case err := <-told:
			t.Errorf("it is told before it is written: %v", err)
		case <-time.After(50 * time.Millisecond): // as long as it waits, it has not happened
		}
		if got := ids(g.Read().Keys("a")); !slices.Equal(got, before) {
			t.Errorf("%v sign before it is written, want %v", got, before)
		}
		close(writer)
		if err := <-told; err != nil {
			t.Error(err)
		}
	}
	var made Made
	f([]string{first}, func() (err error) { made, err = g.Rotate(t.Context(), "a", signing.HMAC, time.Hour, nil); return err })
	f([]string{made.ID, first}, func() error { _, err := g.Revoke(t.Context(), "a", first, false, nil); return err })
	if got := ids(g.Read().Keys("a")); !slices.Equal(got, []string{made.ID}) {
		t.Errorf("%v sign", got)
	}
}
