package provider

import "countersign/kyc"

// shuftiLists are the codes of background checks:
// https://developers.shuftipro.com/docs/aml/decline_reasons/.
var shuftiLists = []string{
	"SPDR34", "SPDR129", "SPDR160", "SPDR161", "SPDR162", "SPDR163", "SPDR164", "SPDR182", "SPDR183", "SPDR184", "SPDR185", "SPDR186", "SPDR313", "SPDR314", "SPDR315",
	"SPDR316", "SPDR317", "SPDR318",
}

// shuftiReasons are the declined codes of the public tables.
var shuftiReasons = newReasons(
	means(kyc.SanctionsMatch, terminal,
		"SPDR160", "SPDR182", "sanction",
	),
	means(kyc.PEPMatch, terminal,
		"SPDR163", "SPDR185", "pep",
	),
	means(kyc.AdverseMediaMatch, terminal,
		"SPDR164", "SPDR186", "adverse-media",
	),
	means(kyc.FraudSuspected, terminal,
		"SPDR03", "SPDR04", "SPDR06", "SPDR48", "SPDR51", "SPDR56", "SPDR59", "SPDR60", "SPDR89", "SPDR90", "SPDR98", "SPDR109", "SPDR131", "SPDR134",
		"SPDR194", "SPDR218", "SPDR235", "SPDR236", "SPDR237", "SPDR238", "SPDR239", "SPDR259", "SPDR278",
	),
	means(kyc.Underage, terminal,
		"SPDR299",
	),
	means(kyc.DuplicateAccount, terminal,
		"SPDR287", "SPDR344",
	),
	means(kyc.LivenessFailed, retryable,
		"SPDR01", "SPDR15", "SPDR19", "SPDR37", "SPDR38", "SPDR58", "SPDR61", "SPDR62", "SPDR87", "SPDR96", "SPDR97", "SPDR144", "SPDR166", "SPDR219",
		"SPDR230", "SPDR233", "SPDR268", "SPDR277", "SPDR279", "SPDR280", "SPDR281", "SPDR283",
	),
	means(kyc.DataMismatch, retryable,
		"SPDR08", "SPDR09", "SPDR10", "SPDR11", "SPDR14", "SPDR16", "SPDR21", "SPDR23", "SPDR26", "SPDR30", "SPDR39", "SPDR68", "SPDR80", "SPDR266", "SPDR305",
		"SPDR25", "SPDR31", "SPDR42", "SPDR65", "SPDR66", "SPDR169", "SPDR269",
	),
	means(kyc.NameMismatch, retryable,
		"SPDR05", "SPDR07", "SPDR22", "SPDR75", "SPDR173",
	),
	means(kyc.DocumentTypeNotAccepted, retryable,
		"SPDR12", "SPDR13", "SPDR24", "SPDR46", "SPDR47", "SPDR49", "SPDR50", "SPDR67", "SPDR210", "SPDR225", "SPDR282",
	),
	means(kyc.DocumentMissing, retryable,
		"SPDR274",
	),
	means(kyc.DocumentExpired, retryable,
		"SPDR27",
	),
	means(kyc.DocumentUnreadable, retryable,
		"SPDR02", // no face on the document
		"SPDR28", "SPDR53", "SPDR54", "SPDR55", "SPDR57",
	),
	means(kyc.OtherReason, terminal,
		"SPDR34", "SPDR129", "SPDR161", "SPDR162", "SPDR183", "SPDR184", "SPDR313", "SPDR314", "SPDR315", "SPDR316", "SPDR317", "SPDR318", // other lists
	),
	means(kyc.OtherReason, retryable,
		"SPDR40", "SPDR43", "SPDR241", "SPDR242", "SPDR243", "SPDR244", "SPDR245", "SPDR246", "SPDR247", "SPDR293", "SPDR294", "SPDR295", "SPDR303", "SPDR304",
		"SPDR309", "SPDR310", "SPDR343",
	),
)
