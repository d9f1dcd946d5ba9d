package registry

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"countersign/signing"
)

// TestRotateAnswer: what a rotation or a revocation was answered is kept with the new key in one
// transaction, over a restart too; where the one cannot be kept the other is not made.
func TestRotateAnswer(t *testing.T) {
	g := newRig(t, acme())
	g.run()
	if _, _, err := g.CreateEndpoint(t.Context(), keptEndpoint("one", "acme"), by("otto")); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	answer := func(id string) func(Made) (*Answer, error) {
		return func(m Made) (*Answer, error) {
			return &Answer{ID: id, At: now, Said: "said", Body: []byte(m.Secret)}, nil
		}
	}
	rotate := func(id string) (Made, error) {
		return g.Rotate(t.Context(), "one", signing.HMAC, time.Hour, answer(id))
	}
	m, err := rotate("of-rotation")
	if err != nil {
		t.Fatal(err)
	}
	r, err := g.Revoke(t.Context(), "one", m.ID, true, func(m *Made) (*Answer, error) { return answer("of-revocation")(*m) })
	if err != nil {
		t.Fatal(err)
	}
	g.again(acme())
	for id, secret := range map[string]string{"of-rotation": m.Secret, "of-revocation": r.Secret} {
		if a, ok, err := g.Answer(id); !ok || err != nil || string(a.Body) != secret || a.Said != "said" {
			t.Errorf("%s: %v, %v", id, ok, err)
		}
	}
	before := ids(g.Read().Keys("one"))
	if len(before) != 2 || before[0] != r.ID {
		t.Errorf("keys %v", before)
	}
	for i := range maxAnswers {
		g.answers[strconv.Itoa(i)] = now
	}
	_, err = rotate("one too many")
	_, broken := g.Rotate(t.Context(), "one", signing.HMAC, 0, func(Made) (*Answer, error) { return nil, ErrOverlap })
	g.again(acme())
	if after := ids(g.Read().Keys("one")); !errors.Is(err, ErrAnswers) || !errors.Is(broken, ErrOverlap) || len(after) != 2 || after[0] != before[0] {
		t.Errorf("%v, %v: keys %v, were %v", err, broken, after, before)
	}
}
