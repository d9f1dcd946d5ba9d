package provider

import "slices"

// All lists every adapter this binary knows.
var All = []Adapter{
	sumsub,
	persona,
	rebilly,
	blendfi,
	alloy,
	alpaca,
	bluum,
	checkr,
	complycube,
	didit,
	dojah,
	footprint,
	idenfy,
	idnow,
	jumio,
	middesk,
	onfido,
	plaidIDV,
	shufti,
	smileID,
	socure,
	stripeIdentity,
	trulioo,
	veratad,
	veriff,
}

// ByName finds an adapter.
func ByName(name string) (Adapter, bool) {
	i := slices.IndexFunc(All, func(a Adapter) bool { return a.Name == name })
	if i < 0 {
		return Adapter{}, false
	}
	return All[i], true
}
