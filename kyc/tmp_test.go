package kyc
import ("testing";"math/rand/v2";"fmt")
func TestTmp(t *testing.T){
	seed:=uint64(8260)
		r := rand.New(rand.NewPCG(seed, 11))
		p := somePolicy[r.IntN(len(somePolicy))]
		all, strong := &State{}, &State{}
		for i := range 2 + r.IntN(10) {
			x := anyRecord(r, i, false)
			w:=false
			if x.Kind == Observation && r.IntN(3) == 0 {
				x=weak(x); w=true
			}
			all.Apply(x, p)
			if !w {strong.Apply(x, p)}
			fmt.Println(x.Kind, keyOf(x), x.Verification, rankOf(x), x.Reasons, x.OccurredAt.Sub(t0), x.NeedsConfirmation, x.ClaimedStatus, all.told.rank, strong.told.rank)
		}
		for _,c:=range all.Checks(){fmt.Printf("%+v\n",c)}
	}
