package main

import "slices"

const settingsSection = "Settings, by provider"

// providerNames are the pages of docs/providers and what they are called in the navigation.
var providerNames = [][2]string{
	{"alloy", "Alloy"},
	{"alpaca", "Alpaca"},
	{"blendfi", "BlendFi"},
	{"bluum", "Bluum"},
	{"checkr", "Checkr"},
	{"complycube", "ComplyCube"},
	{"didit", "Didit"},
	{"dojah", "Dojah"},
	{"footprint", "Footprint"},
	{"idenfy", "iDenfy"},
	{"idnow", "IDnow"},
	{"jumio", "Jumio"},
	{"middesk", "Middesk"},
	{"onfido", "Onfido"},
	{"persona", "Persona"},
	{"plaid_idv", "Plaid Identity Verification"},
	{"rebilly", "Rebilly"},
	{"shufti", "Shufti Pro"},
	{"smile_id", "Smile ID"},
	{"socure", "Socure"},
	{"stripe_identity", "Stripe Identity"},
	{"sumsub", "Sumsub"},
	{"trulioo", "Trulioo"},
	{"veratad", "Veratad"},
	{"veriff", "Veriff"},
}

// providerPages are a section of their own.
func providerPages() *section {
	s := &section{Name: settingsSection}
	for _, p := range providerNames {
		s.Pages = append(s.Pages, &page{Source: "docs/providers/" + p[0] + ".md", File: "provider-" + p[0] + ".html", Name: p[1]})
	}
	return s
}

// Folded reports whether a section's pages are hidden until somebody opens it, for the layout: so
// many would push everything else out of sight.
func (s *section) Folded() bool { return s.Name == settingsSection }

// Has reports whether a page is one of the section's, for the layout.
func (s *section) Has(p *page) bool { return slices.Contains(s.Pages, p) }
