package provider

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"countersign/kyc"
)

// diditScreening is one asking of the lists of persons.
type diditScreening struct {
	diditPart

	Status string          `json:"status"`
	Hits   raw[[]diditHit] `json:"hits"`
}

// diditHit is somebody on a list whom a screening took for the person.
type diditHit struct {
	Review    string                `json:"review_status"`
	Datasets  raw[[]string]         `json:"datasets"`
	Sanctions raw[[]jsontext.Value] `json:"sanction_matches"`
	PEPs      raw[[]jsontext.Value] `json:"pep_matches"`
	Media     raw[[]jsontext.Value] `json:"adverse_media_matches"`
}

// diditKinds tell the kind of a list by a word in the name of the set of data.
var diditKinds = []struct{ code, within string }{
	{"sanction_matches", "sanction"},
	{"pep_matches", "pep"},
	{"adverse_media_matches", "adverse"},
}

// kinds are the lists that a hit is on.
func (h *diditHit) kinds() (codes []string) {
	sets, _ := h.Datasets.read()
	datasets := strings.ToLower(strings.Join(sets, "\n"))
	for i, matches := range []raw[[]jsontext.Value]{h.Sanctions, h.PEPs, h.Media} {
		all, ok := matches.read()
		if len(all) > 0 || !ok || strings.Contains(datasets, diditKinds[i].within) {
			codes = append(codes, diditKinds[i].code)
		}
	}
	return codes
}

// diditSeen is what the screenings of a decision say.
type diditSeen struct {
	codes                      []string
	confirmed, open, odd, done bool
}

// screen reads the screenings:
// https://docs.didit.me/core-technology/aml-screening/report-aml-screening.
func (b *diditBody) screen() (s diditSeen) {
	for _, step := range []raw[[]diditScreening]{b.Decision.Screenings, b.Decision.AML} {
		all, ok := parts(step)
		for _, p := range all {
			s.screening(&p)
		}
		s.open, s.odd = s.open || !ok, s.odd || !ok
	}
	return s
}

// screening reads one of them. What somebody, or the score of a name, has called a false positive
// is no hit.
func (s *diditSeen) screening(p *diditScreening) {
	hits, ok := p.Hits.read()
	left := 0
	for _, h := range hits {
		kinds := h.kinds()
		switch strings.ToLower(h.Review) {
		case "false positive":
			continue
		case "confirmed match":
			s.confirmed = true
		case "":
			s.confirmed = s.confirmed || len(kinds) > 0 && kinds[0] != "adverse_media_matches"
		}
		left++
		s.codes = append(s.codes, kinds...)
	}
	switch said := strings.ToLower(p.Status); {
	case said == "declined", said == "rejected": // the API's own page has the second word
		s.confirmed, s.codes = true, append(s.codes, p.codes()...)
	case left > 0, !ok, said == "in review":
		s.open, s.odd, s.codes = true, s.odd || !ok, append(s.codes, p.codes()...)
	case said == "approved":
		s.done = true
	}
}

// beside is the screening that stands beside a verdict. A clear one is told beside an approval
// only.
func (s *diditSeen) beside(u kyc.Update) (screening kyc.Update, told bool) {
	switch {
	case s.confirmed || s.open:
		return hitBeside(u, s.confirmed, diditReasons.pairs(s.codes)), true
	case s.done && u.Status == kyc.Approved:
		return clearBeside(u), true
	default:
		return kyc.Update{}, false
	}
}

// diditReasons are the warnings: https://docs.didit.me/reference/warnings and
// https://github.com/didit-protocol/skills.
var diditReasons = newReasons(
	means(kyc.SanctionsMatch, terminal,
		"sanction_matches",
	),
	means(kyc.PEPMatch, terminal,
		"pep_matches",
	),
	means(kyc.AdverseMediaMatch, terminal,
		"adverse_media_matches",
	),
	means(kyc.FraudSuspected, terminal,
		"DOCUMENT_METADATA_MISMATCH", "EMAIL_IN_BLOCKLIST", "FACE_IN_BLOCKLIST", "ID_DOCUMENT_IN_BLOCKLIST", "LIVENESS_FACE_ATTACK", "PHONE_NUMBER_IN_BLOCKLIST",
		"SUSPECTED_DOCUMENT_MANIPULATION",
	),
	means(kyc.FraudSuspected, undecided,
		"POSSIBLE_FACE_IN_BLOCKLIST",
	),
	means(kyc.Underage, terminal,
		"AGE_BELOW_MINIMUM", "MINIMUM_AGE_NOT_MET",
	),
	means(kyc.DuplicateAccount, undecided,
		"DUPLICATED_EMAIL", "DUPLICATED_FACE", "DUPLICATED_PHONE_NUMBER", "POSSIBLE_DUPLICATED_FACE", "POSSIBLE_DUPLICATED_USER",
	),
	means(kyc.LivenessFailed, retryable,
		"AGE_NOT_DETECTED", "HIGH_FACE_LUMINANCE", "LOW_FACE_LUMINANCE", "LOW_FACE_MATCH_SIMILARITY", "LOW_FACE_QUALITY", "LOW_LIVENESS_SCORE",
		"MULTIPLE_FACES_DETECTED", "NO_FACE_DETECTED", "NO_REFERENCE_IMAGE",
	),
	means(kyc.DataMismatch, retryable,
		"ADDRESS_MISMATCH_WITH_PROVIDED", "BARCODE_VALIDATION_FAILED", "DATABASE_VALIDATION_NO_MATCH", "DATABASE_VALIDATION_PARTIAL_MATCH", "DATA_INCONSISTENT",
		"FUTURE_ISSUE_DATE", "MRZ_AND_DATA_EXTRACTED_FROM_OCR_NOT_SAME", "MRZ_VALIDATION_FAILED", "QR_VALIDATION_FAILED",
	),
	means(kyc.NameMismatch, retryable,
		"DOCUMENT_NAME_DIFFERENT_FROM_OTHER_APPROVED_DOCUMENTS", "NAME_MISMATCH_ID_VERIFICATION", "NAME_MISMATCH_WITH_PROVIDED",
		"POA_NAME_MISMATCH_BETWEEN_DOCUMENTS",
	),
	means(kyc.DocumentExpired, retryable,
		"DOCUMENT_EXPIRED", "EXPIRED_DOCUMENT",
	),
	means(kyc.DocumentTypeNotAccepted, retryable,
		"DOCUMENT_NOT_SUPPORTED_FOR_APPLICATION", "INVALID_DOCUMENT_TYPE", "ISSUER_NOT_IDENTIFIED", "POA_DOCUMENT_NOT_SUPPORTED_FOR_APPLICATION",
		"UNSUPPORTED_DOCUMENT_LANGUAGE",
	),
	means(kyc.DocumentUnreadable, retryable,
		"BARCODE_NOT_DETECTED", "MISSING_ADDRESS_INFORMATION", "MRZ_NOT_DETECTED", "POOR_DOCUMENT_QUALITY", "PORTRAIT_IMAGE_NOT_DETECTED", "QR_NOT_DETECTED",
		"UNABLE_TO_EXTRACT_ISSUE_DATE", "UNABLE_TO_VALIDATE_DOCUMENT_AGE", "UNPARSABLE_OR_INVALID_ADDRESS",
	),
	means(kyc.AttemptsExceeded, retryable,
		"EMAIL_CODE_ATTEMPTS_EXCEEDED", "VERIFICATION_CODE_ATTEMPTS_EXCEEDED",
	),
	means(kyc.HighRisk, undecided,
		"BREACHED_EMAIL_DETECTED", "DISPOSABLE_EMAIL_DETECTED", "DISPOSABLE_NUMBER_DETECTED", "HIGH_RISK_PHONE_NUMBER", "UNDELIVERABLE_EMAIL_DETECTED",
		"VOIP_NUMBER_DETECTED",
	),
	means(kyc.TechnicalFailure, retryable,
		"COULD_NOT_PERFORM_AML_SCREENING", "COULD_NOT_PERFORM_DATABASE_VALIDATION",
	),
	means(kyc.OtherReason, undecided,
		"POSSIBLE_MATCH_FOUND", // on a list: it does not say which
	),
)
