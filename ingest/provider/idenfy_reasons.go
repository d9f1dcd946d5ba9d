package provider

import (
	"slices"

	"countersign/kyc"
)

// idenfyReasons are the codes of documents and faces, the tags, and the kinds of lists:
// https://documentation.idenfy.com/resources/vocabulary,
// https://github.com/indre-idenfy/Documentation/blob/master/pages/ResultCallback.md and
// https://documentation.idenfy.com/callbacks/Suspicions.
var idenfyReasons = newReasons(
	means(kyc.SanctionsMatch, terminal,
		"INTERPOL", "SANCTION", "SANCTIONS", "SANCTIONS_SUSPECTION",
	),
	means(kyc.PEPMatch, terminal,
		"PEP", "PEPS",
	),
	means(kyc.AdverseMediaMatch, terminal,
		"ADVERSE_MEDIA", "NEGATIVE",
	),
	means(kyc.FraudSuspected, terminal,
		"DATA_BLACKLISTED", "DATA_IN_BLACKLIST", "DOC_FACE_BLACKLISTED", "DOC_FACE_IN_BLACKLIST", "DOC_FAKE", "DOC_PRINT_SPOOFED", "DOC_SPOOF_DETECTED",
		"FACE_BLACKLISTED", "FACE_IN_BLACKLIST", "FACE_SUSPECTED", "FAKE_FACE", "FAKE_PHOTO",
		"LID_SUSPECTION", // the document is in a register of lost and stolen ones
		"PORTRAIT_SUBSTITUTION", "VIRTUAL_CAMERA",
	),
	means(kyc.FraudSuspected, undecided,
		"DEV_TOOLS_OPENED", "DOC_MOBILE_PHOTO",
	),
	means(kyc.Underage, terminal,
		"UNDER_AGE",
	),
	means(kyc.DuplicateAccount, undecided,
		"DUPLICATE_DOC_FACE", "DUPLICATE_FACE", "DUPLICATE_PERSONAL_DATA",
	),
	means(kyc.UnsupportedCountry, retryable,
		"COUNTRY_NOT_SUPPORTED", // of the document: another may do
	),
	means(kyc.LivenessFailed, retryable,
		"FACE_GLARED", "FACE_MISMATCH", "FACE_TOO_BLURRY", "FACE_UNCERTAIN", "NO_FACE_FOUND", "TOO_MANY_FACES",
	),
	means(kyc.DataMismatch, retryable,
		"ADDITIONAL_STEP_INFORMATION_MISMATCH", "ADDRESS_UNVERIFIED", "COUNTRY_MISMATCH", "DATE_OF_BIRTH", "DATE_OF_ISSUE", "DOCUMENT_NUMBER", "DOC_INFO_MISMATCH",
		"DOC_PERSONAL_CODE_INVALID", "DRIVER_LICENSE_INFO_MISMATCH", "EXPIRY_DATE", "GDC_NOT_MATCH", "NATIONALITY", "PERSONAL_CODE", "REGISTRY_CENTER_INFO_MISMATCH",
		"SEX", "UTILITY_ADDRESS",
	),
	means(kyc.NameMismatch, retryable,
		"FULL_NAME", "NAME", "SURNAME", "UTILITY_NAME",
	),
	means(kyc.DocumentExpired, retryable,
		"DOC_EXPIRED", "EXPIRED_ADDITIONAL_STEP_INFORMATION", "EXPIRED_UTILITY_BILL",
	),
	means(kyc.DocumentTypeNotAccepted, retryable,
		"DOC_NOT_ALLOWED", "DOC_NOT_SUPPORTED", "DOC_SIDE_MISMATCH", "DOC_SUBTYPE_MISMATCH", "DOC_TYPE_MISMATCH", "INVALID_ADDITIONAL_STEP",
	),
	means(kyc.DocumentMissing, retryable,
		"ADDITIONAL_STEP_NOT_FOUND", "DOC_NOT_FOUND",
	),
	means(kyc.DocumentUnreadable, retryable,
		"BARCODE_NOT_FOUND", "DOC_DAMAGED", "DOC_DATE_OF_ISSUE_ERROR", "DOC_DOB_ERROR", "DOC_EXPIRY_ERROR", "DOC_FACE_GLARED", "DOC_FACE_NOT_FOUND", "DOC_GLARED",
		"DOC_NAME_ERROR", "DOC_NATIONALITY_ERROR", "DOC_NOT_FULLY_VISIBLE", "DOC_NUMBER_ERROR", "DOC_PERSONAL_NUMBER_ERROR", "DOC_SEX_ERROR", "DOC_SURNAME_ERROR",
		"DOC_TOO_BLURRY", "MRZ_INVALID", "MRZ_NOT_FOUND", "MRZ_OCR_READING_ERROR",
	),
	means(kyc.HighRisk, undecided,
		"CRIMINAL_SUSPECTED",
	),
	means(kyc.TechnicalFailure, retryable,
		"AML_FAILED", "AUTO_UNVERIFIABLE", "CRIMINAL_CHECK_FAILED", "DL_FAILED", "DOC_ERROR", "EID_FAILED", "FACE_ERROR", "LID_FAILED", "NFC_FAILED", "NFC_INIT_FAILED",
		"NFC_TIMEOUT", "RC_FAILED", "SANCTIONS_FAILED", "URJANET_FAILURE", "UTILITY_ADDRESS_CHECK_FAILURE",
	),
	means(kyc.OtherReason, undecided,
		"AML_SUSPECTION", // some list: it does not say which
		"DOC_NOT_ANALYSED", "FACE_NOT_ANALYSED", "FACE_NOT_CHECKED",
		"OVER_AGE", "UNKNOWN_AGE",
	),
)

// idenfyListed are the tags that speak of lists of persons, and so of no document and no face: they
// are told as a screening.
var idenfyListed = []string{"AML_FAILED", "AML_SUSPECTION", "SANCTIONS_FAILED", "SANCTIONS_SUSPECTION"}

// idenfyLists is one service's answer on lists of persons or bad news.
type idenfyLists struct {
	Status struct {
		Suspected  bool   `json:"serviceSuspected"`
		Used       bool   `json:"serviceUsed"`
		Successful bool   `json:"checkSuccessful"`
		Overall    string `json:"overallStatus"`
	} `json:"status"`
	Data []struct {
		Suspicion   string `json:"suspicion"`   // the list's kind
		Type        string `json:"type"`        // instead, of an article
		Whitelisted bool   `json:"whitelisted"` // somebody has looked at it
	} `json:"data"`
}

// idenfySeen is what a body says of lists of persons.
type idenfySeen struct {
	codes           []string
	confirmed, open bool
	clear           bool // it says that somebody looked, or that nothing was found
	odd             bool // a word of it is unknown
}

// screen reads all places in which a body speaks of lists of persons.
func (b *idenfyBody) screen() (s idenfySeen) {
	for _, class := range []struct{ code, said string }{
		{"", b.Status.AMLClass}, {"PEPS", b.Status.PEPs}, {"SANCTIONS", b.Status.Sanctions}, {"ADVERSE_MEDIA", b.Status.AdverseMedia},
	} {
		s.class(class.code, class.said)
	}
	looked := b.Status.AMLClass == "FALSE_POSITIVE" && !s.confirmed && !s.open // whoever looked has seen what stands in the services' answers
	for _, lists := range b.lists(&s) {
		s.service(&lists, looked)
	}
	for _, tag := range slices.Concat(b.Status.FraudTags, b.Status.SuspicionReasons) {
		if slices.Contains(idenfyListed, tag) && !looked {
			s.open, s.codes = true, append(s.codes, tag)
		}
	}
	return s
}

// lists are the services' answers, under either name. A form that is not known cannot be said to be
// clear.
func (b *idenfyBody) lists(s *idenfySeen) (all []idenfyLists) {
	for _, part := range []raw[[]idenfyLists]{b.AML, b.OldAML} {
		several, ok := part.read()
		if !ok {
			var one idenfyLists
			one, ok = raw[idenfyLists](part).read()
			several = []idenfyLists{one}
		}
		if !ok {
			s.open, s.odd, several = true, true, nil
		}
		all = append(all, several...)
	}
	return all
}

// class reads the word for a kind of list, which a reviewer may have set.
func (s *idenfySeen) class(code, said string) {
	switch said {
	case "", "NOT_CHECKED":
		return
	case "NO_FLAGS", "FALSE_POSITIVE":
		s.clear = true
		return
	case "TRUE_POSITIVE":
		s.confirmed = true
	case "FLAGS_FOUND":
		s.open = true
	default:
		s.open, s.odd = true, true
	}
	if code != "" {
		s.codes = append(s.codes, code)
	}
}

// service reads one service's answer.
func (s *idenfySeen) service(lists *idenfyLists, looked bool) {
	st := &lists.Status
	found := 0
	for _, d := range lists.Data {
		if d.Whitelisted || looked {
			continue
		}
		found++
		if code := d.Suspicion + d.Type; code != "" {
			s.codes = append(s.codes, code)
		}
	}
	switch suspected := st.Suspected || st.Overall == "SUSPECTED"; {
	case looked:
	case found > 0, suspected && len(lists.Data) == 0: // else all that it had found was looked at
		s.open = true
	case st.Overall != "" && st.Overall != "NOT_SUSPECTED" && !suspected:
		s.open, s.odd = true, true
	case st.Used && !st.Successful:
		s.open, s.codes = true, append(s.codes, "AML_FAILED")
	case st.Used && st.Overall == "NOT_SUSPECTED":
		s.clear = true
	}
}

// beside is the screening that stands beside a verdict. A clear one is told beside an approval
// only: the lists were asked for what somebody claimed to be.
func (s *idenfySeen) beside(u kyc.Update) (screening kyc.Update, told bool) {
	switch {
	case s.confirmed || s.open:
		return hitBeside(u, s.confirmed, idenfyReasons.pairs(s.codes)), true
	case s.clear && u.Status == kyc.Approved:
		return clearBeside(u), true
	default:
		return kyc.Update{}, false
	}
}
