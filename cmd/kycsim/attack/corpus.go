package attack

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// form is one way to write a request, and what may come of it. Whatever comes, a callback is taken
// if and only if it is answered 200, and what hides in another is never taken.
type form struct {
	name string
	text string // what is sent; SIGNED, BODY and LENGTH stand for what is genuine, and HIDDEN for a whole request that must not be seen
	want []int  // statuses of the first answer; silence: the connection may be closed without one
	more int    // answers after the first, where that is right; else there must be none
	ends string // what its lines end with; "": as they should
}

// silence is for what is no request at all.
const silence = 0

// The statuses that a form may come to.
var (
	taken    = []int{200}
	bad      = []int{400}
	refused  = []int{400, silence}       // or closed without a word
	either   = []int{200, 400}           // the standard leaves it open, and both are safe
	nowhere  = []int{400, 404}           // there is no such source
	unproved = []int{400, 401}           // it is not what was signed
	framing  = []int{400, 411, 501}      // the standard forbids it, or we do not speak it
	versions = []int{200, 400, 505}      // of HTTP that we do not speak
	methods  = []int{400, 404, 405, 501} // other than POST
	headers  = []int{400, 401, 431}      // more of them, or longer, than we read
)

// one is a form to which one answer comes.
func one(name, text string, want []int) form { return form{name: name, text: text, want: want} }

const post = "POST /v1/callbacks/open HTTP/1.1\r\n"

// whole is a request for a path, with more header lines.
func whole(line, more string) string {
	return line + "Host: gateway\r\nSIGNED" + more + "LENGTH\r\nBODY"
}

// Corpus sends every form to the source "open", each with a subject of its own, and then asks the
// gateway whom it has heard of.
func Corpus(ctx context.Context, t *Target) (*Section, error) {
	s := &Section{Name: "raw HTTP"}
	forms := slices.Concat(requestLines(), paths(), headerForms(), lengths(), chunks(), smuggled(), noHTTP(), strangers())
	s.Tried = len(forms)
	came := make([]exchange, len(forms))
	err := each(len(forms), 8, func(i int) (err error) {
		text, err := forms[i].fill(i)
		if err == nil {
			came[i], err = t.say(ctx, text)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := t.settled(ctx, "after-the-corpus"); err != nil { // all before it have been applied too
		s.fault("a genuine callback after all of them: %v", err)
	}
	for i := range forms {
		faults := forms[i].judge(came[i])
		more, err := forms[i].judgeKnown(ctx, t, i, came[i])
		if err != nil {
			return nil, err
		}
		if faults = append(faults, more...); len(faults) > 0 {
			s.fault("%s: %s", forms[i].name, strings.Join(faults, "; "))
		}
	}
	return s, nil
}

// each calls do for 0 to n-1, so many at a time, and returns the first error.
func each(n, atOnce int, do func(int) error) error {
	next := make(chan int)
	var wg sync.WaitGroup
	var once sync.Once
	var failed error
	for range atOnce {
		wg.Go(func() {
			for i := range next {
				if err := do(i); err != nil {
					once.Do(func() { failed = err })
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	return failed
}

// judge holds what came against what may come.
func (f *form) judge(x exchange) (faults []string) {
	first := x.first()
	switch {
	case !slices.Contains(f.want, first):
		faults = append(faults, fmt.Sprintf("answered %v, may be %v", x.statuses, f.want))
	case first != silence && len(x.statuses) != 1+f.more:
		faults = append(faults, fmt.Sprintf("answered %v, that is not %d answers", x.statuses, 1+f.more))
	default:
	}
	if x.rest {
		faults = append(faults, "what follows the answer is no HTTP")
	}
	if !x.ended {
		faults = append(faults, fmt.Sprintf("the connection is still open after %s", patience))
	}
	return faults
}

// judgeKnown holds what was answered against what was taken.
func (f *form) judgeKnown(ctx context.Context, t *Target, i int, x exchange) (faults []string, err error) {
	told, err := t.known(ctx, plain(i))
	if err != nil {
		return nil, err
	}
	if told != (x.first() == 200) {
		faults = append(faults, fmt.Sprintf("answered %v, and whether it was taken: %t", x.statuses, told))
	}
	if told, err = t.known(ctx, hidden(i)); err != nil {
		return nil, err
	}
	if told != (f.more > 0) {
		faults = append(faults, fmt.Sprintf("whether what hides in it was taken: %t", told))
	}
	return faults, nil
}

func plain(i int) string  { return fmt.Sprintf("form-%d", i) }
func hidden(i int) string { return fmt.Sprintf("hidden-%d", i) }

// fill puts what is genuine in the places of a form.
func (f *form) fill(i int) (string, error) {
	g, err := NewGenuine("open", plain(i), false)
	if err != nil {
		return "", err
	}
	h, err := NewGenuine("open", hidden(i), false)
	if err != nil {
		return "", err
	}
	inner := h.request()
	text := strings.NewReplacer(
		"SIGNED", g.lines(), "LENGTH", fmt.Sprintf("Content-Length: %d\r\n", len(g.Body)), "BODYLEN", strconv.Itoa(len(g.Body)),
		"CHUNKED1", inChunks(string(g.Body), 1), "CHUNKED", inChunks(string(g.Body), len(g.Body)), "CHUNK", fmt.Sprintf("%x\r\n%s\r\n", len(g.Body), g.Body),
		"BODY", string(g.Body), "HIDDENLEN", strconv.Itoa(len(inner)), "HIDDEN", inner,
	).Replace(f.text)
	if f.ends != "" {
		text = strings.ReplaceAll(text, "\r\n", f.ends)
	}
	return text, nil
}

// inChunks writes a body as chunks of n bytes, with the last one.
func inChunks(body string, n int) string {
	var b strings.Builder
	for len(body) > 0 {
		n = min(n, len(body))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	return b.String() + "0\r\n\r\n"
}
