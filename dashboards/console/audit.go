package console

import (
	"strings"
	"time"

	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

func auditPages() []page {
	return []page{
		{"GET /console/audit", "Audit", api.Viewer, false, 0, audit},
		{"GET /console/audit/verify", "", api.Viewer, false, 0, verifyTrail},
	}
}

// auditView is a page of the audit trail, and what was asked for.
type auditView struct {
	client.Span
	List  []api.AuditEntry
	Next  string
	Head  api.AuditHead
	Wrong string
	Any   bool // there is a filter
}

// audit lists who did what, the newest first.
func audit(v *visit) (answer, error) {
	view := auditView{Span: client.Span{
		Since: instantOf(v.FormValue("since")), Until: instantOf(v.FormValue("until")), Actor: strings.TrimSpace(v.FormValue("actor")), Subject: strings.TrimSpace(v.FormValue("subject")),
		Endpoint: strings.TrimSpace(v.FormValue("endpoint")), Call: strings.TrimSpace(v.FormValue("call")), Outcome: v.FormValue("outcome"), All: v.FormValue("all") == "true",
	}}
	view.Any = view.Span != client.Span{}
	l, err := v.api.ListAudit(v.Context(), v.page(), view.Span)
	if statusOf(err) == 400 && err != nil {
		view.Wrong = said(err)
		return showRefused(err, "audit", "Audit", view)
	}
	if err != nil {
		return answer{}, err
	}
	view.List, view.Head = l.Data, l.Head
	if l.HasMore && l.Next != "" {
		view.Next = "/console/audit?" + query(
			"since", view.Since, "until", view.Until, "actor", view.Actor, "subject", view.Subject, "endpoint", view.Endpoint, "call", view.Call, "outcome", view.Outcome, "all", yes(view.All), "cursor", l.Next,
		)
	}
	return show("audit", "Audit", view)
}

// instantOf is a time as the API takes it, of what a form has, which leaves out the zone.
func instantOf(text string) string {
	text = strings.TrimSpace(text)
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.Format(time.RFC3339)
		}
	}
	return text
}

// formInstant is the other way round.
func formInstant(text string) string {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at.UTC().Format("2006-01-02T15:04:05")
	}
	return text
}

// trailView is what a walk of the chain has found.
type trailView struct {
	Noted  string // the head that was given
	Walked *api.AuditVerification
	Next   string
	Wrong  string
}

// verifyTrail verifies a part of the chain, as far as one call does.
func verifyTrail(v *visit) (answer, error) {
	view := trailView{Noted: strings.TrimSpace(v.FormValue("head"))}
	walked, err := v.api.VerifyAudit(v.Context(), v.FormValue("cursor"), view.Noted)
	if err != nil && statusOf(err) == 400 {
		view.Wrong = said(err)
		return showRefused(err, "trail", "Verify the audit trail", view)
	}
	if err != nil {
		return answer{}, err
	}
	view.Walked = &walked
	if walked.HasMore && walked.Next != "" {
		view.Next = "/console/audit/verify?" + query("head", view.Noted, "cursor", walked.Next)
	}
	return show("trail", "Verify the audit trail", view)
}
