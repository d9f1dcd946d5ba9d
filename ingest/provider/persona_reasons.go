package provider

import (
	"slices"

	"countersign/kyc"
)

// personaRecords are the people on lists whom a screening report found, and what became of each.
type personaRecords struct{ raw[[]personaRecord] }

type personaRecord struct {
	Status   string `json:"review-status"`
	StatusSn string `json:"review_status"`
	StatusCa string `json:"reviewStatus"`
}

// open reports that somebody was found whom no reviewer has dismissed.
func (r personaRecords) open() bool {
	records, ok := r.read()
	return !ok || slices.ContainsFunc(records, func(r personaRecord) bool {
		return !slices.Contains([]string{r.Status, r.StatusSn, r.StatusCa}, "dismissed")
	})
}

// personaReasons are the names of checks and the kinds of report. The list of checks is
// configurable; an unknown name stays visible as it is.
var personaReasons = newReasons(
	means(kyc.SanctionsMatch, undecided,
		"report/business-watchlist", "report/watchlist",
	),
	means(kyc.PEPMatch, undecided,
		"report/politically-exposed-person",
	),
	means(kyc.AdverseMediaMatch, undecided,
		"report/adverse-media", "report/business-adverse-media",
	),
	means(kyc.OtherReason, undecided,
		"report/business-screening", "report/screening",
	),
	means(kyc.FraudSuspected, terminal,
		"id_color_inconsistency_detection", "id_compromised_detection", "id_experimental_model_detection", "id_fabrication_detection",
		"id_inconsistent_repeat_detection", "id_public_figure_detection", "id_tamper_detection", "selfie_public_figure_detection",
		"selfie_suspicious_entity_detection",
	),
	means(kyc.Underage, terminal,
		"id_age_comparison",
	),
	means(kyc.DuplicateAccount, undecided,
		"id_repeat_detection",
	),
	means(kyc.UnsupportedCountry, terminal,
		"id_disallowed_country_detection",
	),
	means(kyc.LivenessFailed, retryable,
		"id_selfie_comparison", "selfie_account_comparison", "selfie_id_comparison", "selfie_liveness_detection", "selfie_multiple_faces_detection",
		"selfie_pose_detection", "selfie_pose_repeat_detection",
	),
	means(kyc.DataMismatch, retryable,
		"database_identity_comparison", "database_tin_identity_comparison", "id_aamva_database_lookup", "id_account_comparison",
		"id_age_inconsistency_detection", "id_attribute_comparison", "id_barcode_inconsistency_detection", "id_extraction_inconsistency_detection",
		"id_inquiry_comparison", "id_mrz_inconsistency_detection", "id_number_format_inconsistency_detection", "id_po_box_detection",
	),
	means(kyc.DocumentExpired, retryable,
		"id_expired_detection",
	),
	means(kyc.DocumentTypeNotAccepted, retryable,
		"id_disallowed_type_detection", "id_electronic_replica_detection", "id_entity_detection", "id_handwriting_detection", "id_paper_detection",
		"id_real_id_detection",
	),
	means(kyc.DocumentMissing, retryable,
		"id_double_side_detection",
	),
	means(kyc.DocumentUnreadable, retryable,
		"id_barcode_detection", "id_blur_detection", "id_corner_detection", "id_extracted_properties_detection", "id_glare_detection",
		"id_mrz_detection", "id_portrait_clarity_detection", "id_portrait_detection", "id_unprocessable_submission_detection",
		"id_valid_dates_detection", "id_video_quality_detection",
	),
)
