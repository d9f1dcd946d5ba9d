package group

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// TestAssign: who is given what, read off.
func TestAssign(t *testing.T) {
	f := func(n int, want string, members ...Member) {
		t.Helper()
		var got []byte
		given := Assign(members, n)
		for _, id := range slices.Sorted(maps.Keys(given)) {
			got = fmt.Appendf(got, "%s%v ", id, given[id])
		}
		if string(got) != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	held := func(id string, ps ...int32) Member { return Member{ID: id, Generation: 1, Held: ps} }
	f(0, "", held("a"))
	f(4, "")
	f(4, "a[0 1 2 3] ", held("a"))
	f(4, "a[0 2] b[1 3] ", held("b"), held("a"))
	f(1, "b[0] ", held("a"), held("b", 0))
	f(4, "a[1] b[0] c[2 3] ", held("a", 1), held("b", 0), held("c", 2, 3))
	f(4, "a[2 3] b[0 1] ", Member{ID: "b", Warm: map[int32]int64{0: 5}}, Member{ID: "a", Generation: 1, Held: []int32{0, 1, 2, 3}, Warm: map[int32]int64{2: 1, 3: 9}})
}

// TestAssignWarmest: what nobody holds goes to who is warmest, as far as there is room.
func TestAssignWarmest(t *testing.T) {
	a := Member{ID: "a", Warm: map[int32]int64{0: 10, 1: 10, 2: 10}}
	b := Member{ID: "b", Warm: map[int32]int64{0: 11, 3: 0}}
	got := Assign([]Member{a, b}, 4)
	if want := map[string][]int32{"a": {1, 2}, "b": {0, 3}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	zombie := Member{ID: "a", Generation: 3, Held: []int32{0, 1}, Warm: map[int32]int64{0: 99, 1: 99}}
	owner := Member{ID: "b", Generation: 4, Held: []int32{0, 1}}
	if got := Assign([]Member{zombie, owner}, 3); !reflect.DeepEqual(got["b"], []int32{0, 1}) {
		t.Errorf("%v: the later generation holds it", got)
	}
}

// TestAssignAny: for anything that members may say, each partition has one owner, nobody has two more
// than another, no more is moved than has to be, and the order of the members does not matter.
func TestAssignAny(t *testing.T) {
	for seed := range uint64(5000) {
		r := rand.New(rand.NewPCG(seed, 0))
		n, members := r.IntN(20), make([]Member, 1+r.IntN(9))
		for i := range members {
			m := &members[i]
			m.ID, m.Generation, m.Warm = fmt.Sprint("m", i), r.Int32N(3), map[int32]int64{}
			for range r.IntN(12) {
				m.Held = append(m.Held, r.Int32N(22)-1)
				m.Warm[r.Int32N(22)-1] = r.Int64N(5) - 1
			}
		}
		given := Assign(members, n)
		checkShares(t, given, members, n)
		if moved, least := movesOf(given, members, n); moved != least {
			t.Fatalf("seed %d: %d are moved, %d have to be: %v of %+v", seed, moved, least, given, members)
		}
		r.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		if again := Assign(members, n); !reflect.DeepEqual(again, given) {
			t.Fatalf("seed %d: %v, then %v", seed, given, again)
		}
		for i := range members { // who keeps everything moves nothing
			members[i].Held, members[i].Generation = given[members[i].ID], 9
		}
		if again := Assign(members, n); !reflect.DeepEqual(again, given) {
			t.Fatalf("seed %d: %v, then %v", seed, given, again)
		}
		if t.Failed() {
			t.Fatalf("seed %d: %v of %+v", seed, given, members)
		}
	}
}

func checkShares(t *testing.T, given map[string][]int32, members []Member, n int) {
	t.Helper()
	owners := make([]int, n)
	for id, ps := range given {
		if !slices.ContainsFunc(members, func(m Member) bool { return m.ID == id }) {
			t.Errorf("%s is no member", id)
		}
		if len(ps) < n/len(members) || len(ps) > (n+len(members)-1)/len(members) {
			t.Errorf("%s has %d of %d", id, len(ps), n)
		}
		for _, p := range ps {
			owners[p]++
		}
	}
	for p, k := range owners {
		if k != 1 {
			t.Errorf("partition %d has %d owners", p, k)
		}
	}
}

// movesOf is how many partitions were taken from a member that held them, and how many have to be:
// what each holds beyond the least share, less one for each of those that may have one more.
func movesOf(given map[string][]int32, members []Member, n int) (moved, least int) {
	holder := map[int32]*Member{}
	for _, m := range slices.SortedFunc(slices.Values(members), func(a, b Member) int { return int(b.ID[1]) - int(a.ID[1]) }) {
		for _, p := range m.Held { // who comes last, of those of the same generation and warmth, has the smallest ID
			h := holder[p]
			if p >= 0 && int(p) < n && (h == nil || m.Generation > h.Generation || m.Generation == h.Generation && m.warmth(p) >= h.warmth(p)) {
				holder[p] = &m
			}
		}
	}
	held := map[string]int{}
	for p, m := range holder {
		held[m.ID]++
		if !slices.Contains(given[m.ID], p) {
			moved++
		}
	}
	share, more := n/len(members), n%len(members)
	for _, k := range held {
		if k > share {
			least += k - share
			if more > 0 {
				more--
				least--
			}
		}
	}
	return moved, least
}

// FuzzMember: whatever another member says of itself, it is given its share.
func FuzzMember(f *testing.F) {
	m := Member{ID: "a", Node: "relay-1", Generation: 3, Held: []int32{1, 2}, Warm: map[int32]int64{1: 7, 5: 0}}
	if got := DecodeMember("a", m.Encode()); !reflect.DeepEqual(got, m) {
		f.Errorf("%+v, want %+v", got, m)
	}
	f.Add(m.Encode(), 3)
	f.Add([]byte(`{"v":2,"held":[1]}`), 1)
	f.Add([]byte(`{"v":1,"held":[-1,2147483647,1,1],"warm":{"-3":-9}}`), 4)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		n = min(max(n, 0), 50)
		members := []Member{DecodeMember("m1", b), DecodeMember("m2", b), m}
		checkShares(t, Assign(members, n), members, n)
	})
}
