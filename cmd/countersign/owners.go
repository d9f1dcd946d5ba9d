package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"countersign/outbox"
	"countersign/outbox/store"
	"countersign/relay"
	"countersign/relay/registry"
)

// declared are the partners and endpoints of a config, by their names alone.
func declared(cfg *Config) (ps []registry.Partner) {
	for _, pc := range cfg.receivers() {
		p := registry.Partner{ID: pc.ID, RenamedFrom: pc.RenamedFrom}
		for _, ec := range pc.Endpoints {
			p.Endpoints = append(p.Endpoints, registry.Endpoint{ID: ec.ID, RenamedFrom: ec.RenamedFrom})
		}
		ps = append(ps, p)
	}
	return ps
}

// planOf compares a config with what is kept.
func planOf(tx *store.Tx, cfg *Config) (registry.Plan, error) {
	owing := map[string]string{}
	outbox.Owing(tx, func(endpoint, lane string) {
		if partner, _, _ := relay.SubjectOf(lane); partner != "" { // else it is a notice, which is about nobody's people
			owing[endpoint] = partner
		}
	})
	return registry.PlanOf(tx, declared(cfg), owing)
}

// refused are the problems of a config that may not be served upon what is kept.
func refused(cfg *Config, plan *registry.Plan) (all []problem) {
	for _, r := range plan.Refused {
		for i, p := range cfg.receivers() {
			if r.Endpoint == "" && p.ID == r.Partner {
				key := fmt.Sprintf("partners[%d].%s", i, r.Key)
				all = append(all, problem{File: cfg.Path, Line: cfg.lines[key], Key: key, What: r.What, Remedy: r.Remedy})
			}
			for j := range p.Endpoints {
				if p.Endpoints[j].ID == r.Endpoint {
					key := join(cfg.endpointKey(i, j), r.Key)
					all = append(all, problem{File: cfg.Path, Line: cfg.lines[key], Key: key, What: r.What, Remedy: r.Remedy})
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b problem) int { return cmp.Compare(a.Line, b.Line) })
	return all
}

// refusedError is a config that may not be served upon what is kept.
type refusedError struct{ problems []problem }

// Error implements error.
func (e *refusedError) Error() string {
	var texts []string
	for _, p := range e.problems {
		texts = append(texts, p.String())
	}
	return strings.Join(texts, "\n")
}

// own refuses a config that gives an endpoint to another partner, makes those that are new their
// partners', and carries over what is kept of those that are renamed, before anything is owed or
// claimed.
func (g *gateway) own() error {
	ctx := g.ctx
	if ctx == nil {
		ctx = context.Background()
	}
	var plan registry.Plan
	err := g.store.View(func(tx *store.Tx) (err error) {
		plan, err = planOf(tx, g.cfg)
		return err
	})
	if err != nil {
		return err
	}
	if wrong := refused(g.cfg, &plan); len(wrong) > 0 {
		return &refusedError{wrong}
	}
	if g.rehearsal {
		return nil
	}
	if err := g.registry.RenamePartners(ctx, plan); err != nil {
		return err
	}
	for _, r := range plan.Renames {
		g.log.Info("partner_renamed", "from", r.From, "to", r.To)
	}
	if err := g.registry.Own(ctx, plan); err != nil {
		return err
	}
	for _, m := range plan.Moves {
		if err := g.registry.Begin(ctx, m); err != nil {
			return err
		}
		if err := outbox.Rename(ctx, g.store, m.From, m.To); err != nil {
			return err
		}
		if err := g.registry.Finish(ctx, m); err != nil {
			return err
		}
		g.log.Info("endpoint_renamed", "partner", m.Partner, "from", m.From, "to", m.To)
	}
	return nil
}

// against says what a config comes to upon the database of a gateway that does not run, or a
// backup: what its start would refuse, and what would be orphaned.
func (cmd *checkCommand) against(c *console, cfg *Config) (wrong, doubts []problem, err error) {
	if cmd.Against == "" || cfg == nil {
		return nil, nil, nil
	}
	path := cmd.Against
	if fi, err := os.Stat(path); err == nil && fi.IsDir() {
		path = store.Files(path)[0]
	}
	rep, err := examineApart(c.ctx, path, "", nil)
	switch {
	case errors.Is(err, store.ErrLocked):
		return nil, nil, fmt.Errorf("%w: a gateway is running upon %s: countersign reload --dry-run asks it; or make a copy with countersign backup, and check against that", err, cmd.Against)
	case err != nil:
		return nil, nil, err
	case !rep.Sound():
		return nil, nil, fmt.Errorf("%s is damaged: countersign check --file %s says what", path, path)
	}
	err = store.Look(path, func(tx *store.Tx) error {
		plan, err := planOf(tx, cfg)
		if err == nil {
			wrong = refused(cfg, &plan)
			doubts, err = orphaned(tx, cfg, &plan)
		}
		return err
	})
	return wrong, doubts, err
}

// orphaned says what a config leaves behind.
func orphaned(tx *store.Tx, cfg *Config, plan *registry.Plan) (all []problem, err error) {
	for _, r := range plan.Renames {
		all = append(all, problem{
			File: cfg.Path, Key: "partners",
			What:   fmt.Sprintf("partner %s becomes %s: its people, their deliveries and sequences, its endpoints, policies, submissions and tokens go on under the new id", r.From, r.To),
			Remedy: "tell whoever reads the partner's id in webhooks, Kafka or the API; put the old id back if that is not meant",
		})
	}
	for _, id := range plan.Gone {
		all = append(all, problem{
			File: cfg.Path, Key: "partners", What: fmt.Sprintf("partner %s is not in the config any more: no webhooks about its people are sent", id),
			Remedy: "put it back if that is not meant; what is kept of it stays",
		})
	}
	for _, o := range plan.Orphans {
		k, err := outbox.KeptOf(tx, o.Endpoint)
		if err != nil {
			return nil, err
		}
		remedy := "put it back to have them delivered, or write renamed_from: " + o.Endpoint + " at the new endpoint that takes its place"
		if slices.Contains(plan.Gone, o.Partner) {
			remedy = "put it back, with its partner, to have them delivered"
		}
		all = append(all, problem{
			File: cfg.Path, Key: "partners", Remedy: remedy,
			What: fmt.Sprintf("endpoint %s of %s is not in the config, and is orphaned: %d deliveries stay pending, %d dead-lettered, %s", o.Endpoint, o.Partner, k.Owed, k.Dead, withheldOf(&k)),
		})
	}
	return all, nil
}

// showWithheld is how many rejections are named one by one.
const showWithheld = 10

// withheldOf says which rejections and suspensions an endpoint has not been told of.
func withheldOf(k *outbox.Kept) string {
	var named []string
	for _, g := range k.Withheld[:min(len(k.Withheld), showWithheld)] {
		_, id, livemode := relay.SubjectOf(g.Lane)
		mode := ""
		if !livemode {
			mode = " (test)"
		}
		named = append(named, fmt.Sprintf("%s%s change %d since %s", id, mode, g.Sequence, g.Since.UTC().Format(time.RFC3339)))
	}
	if more := len(k.Withheld) - len(named); more > 0 {
		named = append(named, fmt.Sprintf("and %d more", more))
	}
	text := fmt.Sprintf("%d rejections or suspensions not delivered", len(k.Withheld))
	if len(named) > 0 {
		text += " (" + strings.Join(named, ", ") + ")"
	}
	return text
}
