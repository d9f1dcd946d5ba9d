package doctest

import contract "countersign/relay/control/api"

func (s *session) erasure() {
	c, ctx, no := s.c, s.ctx, false
	ask := contract.EraseAsk{Because: "asked for by letter", DryRun: true}
	foreseen, err := c.EraseSubject(ctx, "acme", "user-003", &no, ask)
	good(s, foreseen, err)(func(v contract.Erasure) bool { return v.DryRun && !v.Erased && v.Records["subjects"] == 1 })
	ask.DryRun = false
	erased, err := c.EraseSubject(ctx, "acme", "user-003", &no, ask)
	good(s, erased, err)(func(v contract.Erasure) bool { return v.Erased && v.Digest == foreseen.Digest && v.File != "" })
	for err == nil && erased.File == "waiting" {
		erased, err = c.Erasure(ctx, "acme", "user-003", &no)
	}
	good(s, erased, err)(func(v contract.Erasure) bool { return v.File == "scrubbed" && v.ScrubbedAt != nil })
}
