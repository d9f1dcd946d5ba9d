package control

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"countersign/kyc"
	"countersign/relay"
	"countersign/relay/control/api"
)

// aside lists the subjects that are set aside, because something of them is damaged.
func (s *Server) aside(req *http.Request, _ Token) (any, error) {
	p, err := pageOf(req, "set-aside")
	if err != nil {
		return nil, err
	}
	all := each(s.o.Relay.Aside(), viewAside)
	slices.SortFunc(all, func(a, b api.SetAside) int { return strings.Compare(asideID(&a), asideID(&b)) })
	return cutOut(p, all, asideID), nil
}

// asideID is what the list goes by.
func asideID(a *api.SetAside) string {
	return a.Partner + "\x00" + a.ID + "\x00" + strconv.FormatBool(a.Livemode)
}

// rebuilt is what came of a rebuild, or would come of it.
type rebuilt struct{ api.Rebuild }

// idle implements idle: what was only foreseen has changed nothing.
func (v rebuilt) idle() bool { return v.DryRun }

// rebuild makes the state of a subject that is set aside anew: of its history, or, with a status,
// of what is left of it and that word.
func (s *Server) rebuild(req *http.Request, t Token) (any, error) {
	var ask api.RebuildAsk
	if err := read(req, &ask); err != nil {
		return nil, err
	}
	live, err := s.livemode(req)
	if err != nil {
		return nil, err
	}
	if ask.Reason == "" {
		return nil, bad("reason", "say why, for whoever must explain it later")
	}
	o := relay.Rebuild{Partner: req.PathValue("partner"), Subject: req.PathValue("id"), Livemode: live, Note: ask.Reason, Actor: t.Name}
	if ask.Status != "" {
		o.Decision = &relay.Decision{
			Manual: true, Check: kyc.Check(ask.Check), Scope: kyc.Overall, Status: kyc.Status(ask.Status), Reasons: wordsOf[kyc.Reason](ask.Reasons), Retryable: ask.Retryable,
		}
	}
	v := rebuilt{api.Rebuild{Object: "rebuild", Partner: o.Partner, Subject: o.Subject, Livemode: live, DryRun: ask.DryRun}}
	if ask.DryRun {
		plan, err := s.o.Relay.ForeseeRebuild(o)
		v.Decided, v.Waiting = viewDecided(&plan.Decided), &plan.Waiting
		return v, err
	}
	wait, cancel := context.WithTimeout(req.Context(), foldWait)
	defer cancel()
	came, err := s.o.Relay.Rebuild(wait, o)
	if err != nil {
		return nil, err
	}
	v.Decided = viewDecided(&came)
	return v, nil
}
