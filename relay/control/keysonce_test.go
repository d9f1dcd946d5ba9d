package control

import (
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestRotateOnce: a rotation and a revocation that are sent again with their Idempotency-Key are
// answered the same and make no second key; another under it is refused. The secret is shown for an
// hour.
func TestRotateOnce(t *testing.T) {
	var ahead atomic.Int64
	g := newRig(t, func(o *Options) { o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) } })
	g.keep("standard")
	path := "/v1/endpoints/kept-standard/"
	keys := func(want int) {
		t.Helper()
		if n := len(g.registry.Read().Keys("kept-standard")); n != want {
			t.Errorf("%d keys, want %d", n, want)
		}
	}
	same := func(path, body, key string) answer {
		t.Helper()
		first := g.call("otto", "POST", path, body, "Idempotency-Key", key).want(t, 200, "")
		second := g.call("otto", "POST", path, body, "Idempotency-Key", key).want(t, 200, "")
		var a, b any
		if json.Unmarshal([]byte(first.body), &a) != nil || json.Unmarshal([]byte(second.body), &b) != nil || fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("%s, and then %s", first.body, second.body)
		}
		if first.header.Get("Idempotent-Replayed") != "" || second.header.Get("Idempotent-Replayed") != "true" {
			t.Error("only the second is one that was given before")
		}
		return first
	}
	keys(1)
	made := same(path+"rotate", `{"overlap":"1h"}`, "k1")
	keys(2)
	if made.json["secret"] == nil || made.json["id"] != g.registry.Read().Keys("kept-standard")[0].ID {
		t.Errorf("made: %s", made.body)
	}
	g.call("otto", "POST", path+"rotate", `{"overlap":"2h"}`, "Idempotency-Key", "k1").want(t, 409, "idempotency_key_used Idempotency-Key")
	g.call("otto", "POST", path+"rotate", `{"kind":"rsa"}`, "Idempotency-Key", "k2").want(t, 400, "kind kind")
	same(path+"rotate", "", "k2") // what was refused has used nothing
	keys(3)
	id := g.registry.Read().Keys("kept-standard")[0].ID
	revoke := path + "keys/" + id + "/revoke?replace=true"
	revoked := same(revoke, "", "k3")
	keys(3)
	if r, _ := revoked.json["replacement"].(map[string]any); r["secret"] == nil || r["id"] == id {
		t.Errorf("replaced: %s", revoked.body)
	}
	g.call("otto", "POST", path+"keys/"+id+"/revoke", "", "Idempotency-Key", "k3").want(t, 409, "idempotency_key_used Idempotency-Key")
	g.call("otto", "POST", revoke, "").want(t, 404, "not_found key")

	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if a := g.call("otto", "POST", path+"rotate", "", "Idempotency-Key", "k4"); a.code != 200 && a.problem() != "idempotency_key_in_use Idempotency-Key" {
				t.Errorf("at once: %d %s", a.code, a.body)
			}
		})
	}
	wg.Wait()
	keys(4)

	ahead.Store(int64(2 * time.Hour))
	late := g.call("otto", "POST", path+"rotate", `{"overlap":"1h"}`, "Idempotency-Key", "k1").want(t, 200, "")
	if late.json["secret"] != nil || late.json["id"] != made.json["id"] {
		t.Errorf("after two hours: %s", late.body)
	}
	late = g.call("otto", "POST", revoke, "", "Idempotency-Key", "k3").want(t, 200, "")
	if r, _ := late.json["replacement"].(map[string]any); r == nil || r["secret"] != nil || r["id"] == nil {
		t.Errorf("after two hours: %s", late.body)
	}
	keys(4)
}
