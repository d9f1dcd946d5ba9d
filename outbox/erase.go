package outbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"countersign/outbox/store"
)

// eraseChunk is how many records are looked at, or taken away, in one transaction.
const eraseChunk = 256

// Erased is what an erasure has taken away.
type Erased struct {
	Tries   int
	Answers int // texts
}

// EraseTries takes away all that is kept of the failed attempts of a lane, at whichever endpoint:
// the tries, damaged ones too, the texts that they were answered with, which others may have been
// answered with as well, and every text in which one of the words is found, whoever was answered
// with it. It does so a bounded part at a time: nil once all of it is on stable storage. Whoever
// calls it after a crash, or an error, takes away the rest. What is in flight meanwhile may be kept
// after it: nothing of the lane may be owed any more.
func (b *Outbox) EraseTries(ctx context.Context, lane string, words ...string) (all Erased, err error) {
	steps := []func(context.Context) (Erased, bool, error){
		func(ctx context.Context) (Erased, bool, error) { return b.eraseLane(ctx, lane) },
	}
	if f := formsOf(words); len(f) > 0 {
		var from []byte
		steps = append(steps, func(ctx context.Context) (Erased, bool, error) { return b.eraseAnswers(ctx, f, &from) })
	}
	for _, step := range steps {
		for more := true; more; {
			var e Erased
			if e, more, err = step(ctx); err != nil {
				return all, fmt.Errorf("erase the tries of a lane: %w", err)
			}
			all.Tries, all.Answers = all.Tries+e.Tries, all.Answers+e.Answers
		}
	}
	return all, nil
}

// eraseLane takes away the first tries that are left of a lane.
func (b *Outbox) eraseLane(ctx context.Context, lane string) (e Erased, more bool, err error) {
	err = b.o.Store.Update(ctx, func(tx *store.Tx) error {
		e, more = Erased{}, false
		attempts, answers := tx.Bucket(store.Attempts), tx.Bucket(store.Answers)
		for _, t := range triesOf(tx, lane, eraseChunk) {
			if t.text && answers.Has(t.answer) {
				e.Answers++
				if err := answers.Delete(t.answer); err != nil {
					return err
				}
			}
			if err := attempts.Delete(t.key); err != nil {
				return err
			}
			e.Tries++
		}
		more = e.Tries == eraseChunk
		return nil
	})
	return e, more, err
}

// foundTry is a try, and where its text stands.
type foundTry struct {
	key, answer []byte
	text        bool // it stands there
}

// triesOf finds up to n tries of a lane. It looks once at every endpoint that has any.
func triesOf(tx *store.Tx, lane string, n int) (found []foundTry) {
	c := tx.Bucket(store.Attempts).Cursor()
	k, _ := c.First()
	for k != nil {
		name, _, ok := bytes.Cut(k, []byte{0})
		if !ok {
			k, _ = c.Next()
			continue
		}
		endpoint := string(name)
		prefix := laneKey(endpoint, lane)
		var v []byte
		for k, v = c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
			if len(k) != len(prefix)+10 {
				continue
			}
			t := foundTry{key: bytes.Clone(k)}
			if _, ref, kind, ok := decodeTry(v); ok && kind == textInRing {
				t.answer = answerKey(endpoint, ref.place)
				_, t.text = ref.said(tx, endpoint)
			}
			if found = append(found, t); len(found) == n {
				return found
			}
		}
		k, _ = c.Seek(append([]byte(endpoint), 1)) // the next endpoint
	}
	return found
}

// eraseAnswers takes away, of the next texts of all endpoints, those in which a form is found.
func (b *Outbox) eraseAnswers(ctx context.Context, forms []string, from *[]byte) (e Erased, more bool, err error) {
	var found [][]byte
	err = b.o.Store.View(func(tx *store.Tx) error {
		seen := 0
		c := tx.Bucket(store.Answers).Cursor()
		k, v := c.Seek(*from)
		for ; k != nil && seen < eraseChunk; k, v = c.Next() {
			seen++
			text := string(v)
			if v == nil {
				text = string(tx.Bucket(store.Answers).Raw(k)) // damaged
			}
			if holds(text, forms) {
				found = append(found, bytes.Clone(k))
			}
		}
		*from = bytes.Clone(k)
		return nil
	})
	if err != nil || len(found) == 0 {
		return e, *from != nil, err
	}
	err = b.o.Store.Update(ctx, func(tx *store.Tx) (err error) {
		e = Erased{}
		answers := tx.Bucket(store.Answers)
		for _, k := range found {
			v, damaged := answers.Get(k)
			if damaged == nil && !holds(string(v), forms) {
				continue // another one by now
			}
			e.Answers++
			err = errors.Join(err, answers.Delete(k))
		}
		return err
	})
	return e, *from != nil, err
}

// formsOf are the ways in which words may stand in an answer: as they are, and as JSON, HTML and
// URLs have them, in lower case.
func formsOf(words []string) (forms []string) {
	for _, word := range words {
		for _, w := range []string{word, strings.ToLower(word), strings.ToUpper(word)} { // which escapes tell apart
			if w == "" {
				continue
			}
			quoted, _ := json.Marshal(w) // cannot fail
			ascii := strconv.QuoteToASCII(w)
			inJSON, inASCII := string(quoted[1:len(quoted)-1]), ascii[1:len(ascii)-1]
			for _, f := range []string{
				w, inJSON, slashed(inJSON), inASCII, slashed(inASCII), url.QueryEscape(w), url.PathEscape(w), html.EscapeString(w),
			} {
				if f = strings.ToLower(f); !slices.Contains(forms, f) {
					forms = append(forms, f)
				}
			}
		}
	}
	return forms
}

// slashed escapes slashes, as some writers of JSON do.
func slashed(s string) string { return strings.ReplaceAll(s, "/", `\/`) }

// leastOfWord is how much of a word makes it known at the end of a text that was cut there.
const leastOfWord = 4

// holds reports whether a text holds one of the forms, or ends in the middle of one.
func holds(text string, forms []string) bool {
	text = strings.ToLower(text)
	for _, f := range forms {
		if strings.Contains(text, f) {
			return true
		}
		for n := min(len(f)-1, len(text)); n >= leastOfWord; n-- {
			if strings.HasSuffix(text, f[:n]) {
				return true
			}
		}
	}
	return false
}
