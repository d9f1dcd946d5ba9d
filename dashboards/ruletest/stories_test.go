package ruletest

import "strings"

// teller tells a story: an alert with its severity, how many minutes, and what is not as at a
// healthy gateway.
type teller func(alert string, minutes int, series ...string)

func promiseStories(fires, quiet teller) {
	const callbacks, deliveries = "CountersignCallbackSLOBurn ", "CountersignDeliverySLOBurn "
	const accepted, unhurried = `ingest_callbacks_total{source="sumsub",verdict="accepted"} `, `ingest_callback_seconds_bucket{le="1.0"} `
	// One in eighteen is slow; "1" and "1.0" are the same bound.
	fires(callbacks+"critical", 60, unhurried+`0+85`)
	fires(callbacks+"critical", 60, unhurried+`_x60`, `ingest_callback_seconds_bucket{le="1"} 0+85`)
	// Quick, but refused.
	fires(callbacks+"critical", 60, `ingest_callbacks_total{source="sumsub",verdict="backlog"} 0+5`)
	// All are slow, but there are fewer than a hundred an hour.
	quiet(callbacks+"critical", 60, accepted+`0+1`, `ingest_callback_seconds_count 0+1`, unhurried+`0`)
	// Wrong keys and strangers are not our fault.
	quiet(callbacks+"critical", 60, `ingest_callbacks_total{source="sumsub",verdict="mismatch"} 0+60`)
	// One in two thousand is within the promise; one in 250 is not.
	quiet(callbacks+"warning", 60, accepted+`0+2000`, `ingest_callback_seconds_count 0+2000`, unhurried+`0+1999`)
	fires(callbacks+"warning", 60, accepted+`0+1000`, `ingest_callback_seconds_count 0+1000`, unhurried+`0+996`)

	nativeStories(fires, quiet)

	const due = `outbox_oldest_due_seconds{endpoint="acme"} `
	const idle = `relay_attempts_total{endpoint="acme",outcome="done"} 0`
	// We do not send, though nothing has failed.
	fires(deliveries+"critical", 30, due+`0+60`, idle)
	// The relay folds nothing, so that nothing even becomes due.
	fires(deliveries+"critical", 30, `journal_unread_records 100`, `relay_updates_total{verdict="applied"} 60`)
	// The partner fails, is slow, or has said that it is gone.
	quiet(deliveries+"critical", 30, due+`0+60`, `relay_attempts_total{endpoint="acme",outcome="retry"} 0+5`)
	quiet(deliveries+"critical", 30, due+`0+60`, `relay_endpoint_attempt_seconds_sum{endpoint="acme"} 0+60`)
	quiet(deliveries+"critical", 30, due+`0+60`, idle, `relay_endpoint_disabled{endpoint="acme"} 1`)
	quiet(deliveries+"critical", 30, due+`0+60`, idle, `relay_endpoint_paused{endpoint="acme"} 1`)
	quiet(deliveries+"critical", 30, due+`0+60`, idle, `relay_endpoint_breaker{endpoint="acme"} 2`)
	// Late in one minute of twelve at one endpoint of three; then once in three hours.
	fires(deliveries+"warning", 150, due+strings.Repeat("0x10 90 ", 14))
	quiet(deliveries+"warning", 180, due+"0x100 90 0x79")
}

// nativeStories are those of a Prometheus that scrapes native histograms, and so has no classic
// buckets.
func nativeStories(fires, quiet teller) {
	const minutes, callbacks = "x120", "CountersignCallbackSLOBurn "
	only := func(name, values string, classic ...string) []string {
		series := []string{name + ` ` + values}
		for _, c := range classic {
			series = append(series, c+` _`+minutes)
		}
		return series
	}
	answers := func(values string) []string {
		return only(`ingest_callback_seconds`, values, `ingest_callback_seconds_count`, `ingest_callback_seconds_bucket{le="1.0"}`)
	}
	const start = `{{schema:0 sum:0 count:0 buckets:[0 0]}}+`
	// The second bucket is that of more than a second. An hour without a callback hides nothing of
	// what comes after it.
	fires(callbacks+"critical", 60, answers(start+`{{schema:0 sum:60 count:90 buckets:[85 5]}}`+minutes)...)
	quiet(callbacks+"critical", 60, answers(start+`{{schema:0 sum:60 count:90 buckets:[90 0]}}`+minutes)...)
	quiet(callbacks+"critical", 60, answers(`{{schema:0 sum:0 count:0 buckets:[0 0]}}`+minutes)...)
	fires(callbacks+"critical", 120, answers(`{{schema:0 sum:0 count:0 buckets:[0 0]}}x59 `+start+`{{schema:0 sum:60 count:90 buckets:[80 10]}}x60`)...)
	fires(callbacks+"warning", 60, answers(start+`{{schema:0 sum:600 count:1000 buckets:[996 4]}}`+minutes)...)

	commits := func(values string) []string {
		return only(`store_commit_seconds`, values, `store_commit_seconds_bucket{le="0.25"}`, `store_commit_seconds_bucket{le="0.5"}`, `store_commit_seconds_bucket{le="+Inf"}`)
	}
	fires("CountersignCommitSlow warning", 20, commits(start+`{{schema:0 sum:600 count:1000 buckets:[970 30]}}`+minutes)...)
	quiet("CountersignCommitSlow warning", 20, commits(start+`{{schema:0 sum:60 count:1000 offset:-6 buckets:[1000 0]}}`+minutes)...)

	timers := func(values string) []string {
		return only(`relay_timer_lateness_seconds`, values, `relay_timer_lateness_seconds_bucket{le="60.0"}`, `relay_timer_lateness_seconds_bucket{le="300.0"}`, `relay_timer_lateness_seconds_bucket{le="+Inf"}`)
	}
	fires("CountersignTimersLate warning", 60, timers(start+`{{schema:0 sum:9000 count:100 offset:6 buckets:[80 20]}}`+minutes)...)
	quiet("CountersignTimersLate warning", 60, timers(start+`{{schema:0 sum:900 count:100 buckets:[80 20]}}`+minutes)...)
}

func callbackStories(fires, quiet teller) {
	const accepted, mismatch = `ingest_callbacks_total{source="sumsub",verdict="accepted"} `, `ingest_callbacks_total{source="sumsub",verdict="mismatch"} `
	// Our key is wrong from the first minute on; for a part of the traffic; or a stranger tries now
	// and then.
	fires("CountersignSourceRefusalsJump critical", 80, accepted+`0`, mismatch+`0+5`)
	quiet("CountersignSourceRefusalsJump critical", 80, mismatch+`0+5`)
	fires("CountersignSourceRefusalsJump warning", 30, accepted+`0+10`, mismatch+`0+5`)
	quiet("CountersignSourceRefusalsJump warning", 30, mismatch+`0+5`)
	quiet("CountersignSourceRefusalsJump warning", 60, accepted+`0`, mismatch+`0x30 3x30`)

	const silent = "CountersignSourceSilent warning"
	fires(silent, 1530, accepted+`0+60x1440 86400x90`)
	quiet(silent, 1530, accepted+`0x100 0+60x1300 78000x130`) // as quiet as yesterday
	quiet(silent, 1530)

	const refused = "CountersignCallbacksRefusedByUs critical"
	fires(refused, 20, `ingest_callbacks_total{source="sumsub",verdict="backlog"} 0+5`)
	fires(refused, 20, `ingest_callbacks_total{source="sumsub",verdict="kafka"} 0+5`)
	quiet(refused, 30, accepted+`0+1`, `ingest_callbacks_total{source="sumsub",verdict="undecided"} 0x10 1x20`) // one slow flush
	quiet(refused, 30, `ingest_callbacks_total{source="sumsub",verdict="stopping"} 0+5`)                        // restarts have an alert of their own

	fires("CountersignPanics critical", 10, `ingest_callbacks_total{source="sumsub",verdict="panic"} 0x5 1x5`)
	quiet("CountersignPanics critical", 10, `ingest_callbacks_total{source="sumsub",verdict="undecided"} 0x5 1x5`)
	fires("CountersignProviderClockAhead warning", 10, `ingest_clock_ahead_total{source="sumsub"} 0x5 1x5`)
	quiet("CountersignProviderClockAhead warning", 90, `ingest_clock_ahead_total{source="sumsub"} 7`)
	fires("CountersignProviderFault warning", 10, `ingest_provider_faults_total{source="sumsub"} 0x5 1x5`)
	quiet("CountersignProviderFault warning", 90, `ingest_provider_faults_total{source="sumsub"} 7`)

	const missing, noKey = "CountersignPublishedKeyMissing ", `ingest_callbacks_total{source="sumsub",verdict="no_key"} `
	// The provider's API does not answer; not for one key of several; for the one callback of an
	// hour; for a moment.
	fires(missing+"critical", 30, accepted+`0`, noKey+`0+1`)
	quiet(missing+"critical", 30, noKey+`0+1`)
	quiet(missing+"critical", 30, accepted+`0`, noKey+`0x5 5x25`)
	fires(missing+"warning", 30, noKey+`0+1`)
	fires(missing+"warning", 30, accepted+`0`, noKey+`0x5 1x25`)
	quiet(missing+"warning", 30, noKey+`0x5 9x25`)
}

func storageStories(fires, quiet teller) {
	fires("CountersignJournalBacklogHigh critical", 10, `journal_backlog_records 600000`)
	quiet("CountersignJournalBacklogHigh critical", 10, `journal_backlog_records 400000`)
	quiet("CountersignJournalBacklogHigh critical", 20, `journal_backlog_records 0x5 600000x3 0x10`)
	fires("CountersignEvaluationBehind critical", 10, `journal_unread_records 10`, `relay_updates_total{verdict="applied"} 60`)
	fires("CountersignEvaluationBehind critical", 10, `journal_unread_records 100`)
	quiet("CountersignEvaluationBehind critical", 20, `journal_unread_records 10`)                                                            // ten seconds' worth
	quiet("CountersignEvaluationBehind critical", 20, `journal_unread_records 0x5 1 0x14`, `relay_updates_total{verdict="applied"} 0x5 1x15`) // one record at the moment of the scrape
	const behind = `forward_lag_seconds{topic="kyc.status-updates"} 0+60`                                                                     // Kafka is out: what waits for it is not behind the fold, and late for no partner
	quiet("CountersignEvaluationBehind critical", 30, `journal_backlog_records 0+6000`, behind)
	quiet("CountersignDeliverySLOBurn critical", 60, `journal_backlog_records 0+6000`, behind)
	fires("CountersignEvaluationBehind critical", 30, `journal_backlog_records 0+6000`, behind, `journal_unread_records 100`)
	for _, what := range []string{"disk", "size", "pending", "commit"} {
		fires("CountersignStorageFull critical", 10, `store_short{what="`+what+`"} 0x5 1x5`)
	}
	quiet("CountersignStorageFull critical", 10, `store_file_bytes 64e9`)
	fires("CountersignEvaluationWaiting critical", 10, `relay_evaluation_waiting 0x5 1x5`)
	quiet("CountersignEvaluationWaiting critical", 10, `relay_evaluation_waiting 0x5 1 0x4`)

	const nearly = "CountersignStorageNearlyFull warning"
	fires(nearly, 20, `store_file_bytes 60e9`)
	fires(nearly, 20, `store_disk_free_bytes 2e9`)
	quiet(nearly, 20, `store_file_bytes 60e9`, `store_free_page_bytes 30e9`)
	quiet(nearly, 20, `store_disk_free_bytes 3e9`)
	fires(nearly, 20, `store_pending_bytes 4.99e10`)
	quiet(nearly, 20, `store_pending_bytes 4.9e10`, `journal_backlog_records 400000`)

	fires("CountersignCommitSlow warning", 20, `store_commit_seconds_bucket{le="0.25"} 0+980`)
	quiet("CountersignCommitSlow warning", 20, `store_commit_seconds_bucket{le="0.25"} 0+995`)
	fires("CountersignCommitHangs critical", 10, `store_commit_running_seconds 0x8 2.5 14`)
	quiet("CountersignCommitHangs critical", 10, `store_commit_running_seconds 0x5 1.9x5`)
	fires("CountersignUncleanStart critical", 25, `process_start_time_seconds 60`, `store_unclean_start 1`)
	fires("CountersignUncleanStart critical", 60, `process_start_time_seconds 60x40 3000x20`, `store_unclean_start 0x40 1x20`) // the disk has failed in minute 40, and a supervisor has started it again
	quiet("CountersignUncleanStart critical", 60, `process_start_time_seconds 60x40 3000x20`, `store_unclean_start 0`)
	quiet("CountersignUncleanStart critical", 60, `process_start_time_seconds -3000`, `store_unclean_start 1`) // long known
	fires("CountersignDamagedRecords critical", 10, `journal_damaged_records_total 0x5 1x5`)
	fires("CountersignDamagedRecords critical", 10, `outbox_dead_lettered_total{reason="damaged"} 0x5 1x5`)
	fires("CountersignDamagedRecords critical", 10, `relay_damaged_changes_total 0x5 1x5`)
	quiet("CountersignDamagedRecords critical", 10, `outbox_dead_lettered_total{reason="overflow"} 0x5 1x5`)
	fires("CountersignSubjectsSetAside critical", 10, `relay_subjects_set_aside 0x5 1x5`)
	quiet("CountersignSubjectsSetAside critical", 10, `relay_subjects_set_aside 0`)
	fires("CountersignFileRepaired warning", 10, `store_repaired_records{outcome="damaged"} 2`)
	fires("CountersignFileRepaired warning", 10, `store_repaired_records{outcome="corrected"} 1`)
	quiet("CountersignFileRepaired warning", 10, `store_repaired_records{outcome="corrected"} 0`)
	fires("CountersignSettleRetries warning", 15, `outbox_settle_retries_total 0+60`)
	quiet("CountersignSettleRetries warning", 15, `outbox_settle_retries_total 0x5 1x10`)
}

func foldStories(fires, quiet teller) {
	fires("CountersignQuarantineNotEmpty warning", 10, `journal_quarantine_items 1`)
	quiet("CountersignQuarantineNotEmpty warning", 15, `journal_quarantine_items 0x5 1x3 0x5`)
	fires("CountersignQuarantineGrowing critical", 30, `journal_quarantined_total{reason="unreadable"} 0+1`)
	quiet("CountersignQuarantineGrowing critical", 60, `journal_quarantined_total{reason="unreadable"} 0x5 5x55`)
	fires("CountersignUnknownEvent critical", 10, `journal_quarantined_total{reason="unknown_event"} 0x5 1x5`)
	quiet("CountersignUnknownEvent critical", 90, `journal_quarantined_total{reason="unknown_event"} 7`)
	quiet("CountersignUnknownEvent critical", 10, `journal_quarantined_total{reason="unknown_word"} 0x5 1x5`)
	fires("CountersignUnroutedRecords warning", 40, `relay_unrouted_records 3`)
	quiet("CountersignUnroutedRecords warning", 60, `relay_unrouted_records 3x20 0x40`)
	fires("CountersignAmbiguousRef warning", 10, `relay_ambiguous_refs_total 0x5 1x5`)
	fires("CountersignAmbiguousRef warning", 10, `relay_updates_total{verdict="ambiguous"} 0x5 1x5`)
	fires("CountersignAmbiguousRef warning", 300, `relay_contested_refs 1`)
	fires("CountersignAmbiguousRef warning", 10, `relay_submissions_total{outcome="contested"} 0x5 1x5`)
	quiet("CountersignAmbiguousRef warning", 10, `relay_submissions_total{outcome="refused"} 0x5 1x5`)
	quiet("CountersignAmbiguousRef warning", 10, `relay_updates_total{verdict="unrouted"} 0x5 1x5`)
	fires("CountersignUnconfirmedClaims info", 10, `relay_unconfirmed_claims_total 0x5 1x5`)
	quiet("CountersignUnconfirmedClaims info", 10, `relay_unconfirmed_claims_total 9`)
	fires("CountersignParkedApprovals info", 10, `relay_updates_total{verdict="parked"} 0x5 1x5`)
	quiet("CountersignParkedApprovals info", 10, `relay_updates_total{verdict="held"} 0x5 1x5`)
	fires("CountersignOverruled warning", 10, `relay_updates_total{verdict="overruled"} 0x5 1x5`)
	quiet("CountersignOverruled warning", 90, `relay_updates_total{verdict="overruled"} 7`)
	quiet("CountersignOverruled warning", 10, `relay_updates_total{verdict="superseded"} 0x5 1x5`)
	fires("CountersignApprovalsHeld info", 10, `relay_updates_total{verdict="held"} 0x5 1x5`)
	quiet("CountersignApprovalsHeld info", 10, `relay_updates_total{verdict="parked"} 0x5 1x5`)
}

func confirmStories(fires, quiet teller) {
	const cannot, refused = "CountersignConfirmationCannotAsk warning", "CountersignConfirmationRefused "
	const can, open = `confirm_source_can_ask{source="sumsub"} `, `journal_open_questions{source="sumsub"} `
	const asked = `ingest_callbacks_total{source="sumsub",verdict="questions"} `
	fires("CountersignQuestionsFull warning", 20, asked+`0+1`)
	quiet("CountersignQuestionsFull warning", 30, asked+`0`)
	quiet("CountersignQuestionsFull warning", 30, `ingest_callbacks_total{source="sumsub",verdict="unsigned"} 0+5`)
	fires("CountersignStreamDown critical", 25, `stream_connected{source="alpaca"} 0`)
	quiet("CountersignStreamDown critical", 60, `stream_connected{source="alpaca"} 0x5 1x1 0x5 1x1 0x5 1x50`)
	fires(cannot, 10, can+`0`)
	fires(cannot, 10, can+`_x10`) // the source has gone from the configuration
	quiet(cannot, 10, can+`0`, open+`0`)
	quiet(cannot, 10, open+`500`) // a provider that does not answer

	const answers, refuses = `confirm_questions_total{source="sumsub",outcome="answered"} `, `confirm_questions_total{source="sumsub",outcome="refused"} `
	// All is refused; the only question was, an hour ago, and is about to be again; one of many is;
	// it was, and the credentials are right again.
	fires(refused+"warning", 30, answers+`0`, refuses+`0+1`)
	fires(refused+"warning", 64, answers+`0`, refuses+`0x5 1x58`)
	quiet(refused+"warning", 60, refuses+`0x5 1x55`)
	quiet(refused+"warning", 60, answers+`0x10 0+1x50`, refuses+`0x5 3x55`)
	quiet(refused+"warning", 60, answers+`0x10 3x50`, refuses+`0x5 3x55`, open+`3x10 0x50`)
	quiet(refused+"warning", 60, answers+`0`, `confirm_questions_total{source="sumsub",outcome="unsettled"} 0+1`, refuses+`0x5 1x55`)
	quiet(refused+"warning", 14, answers+`0`, refuses+`0+1`)
	fires(refused+"critical", 30, answers+`0`, refuses+`0+1`, open+`20`)
	quiet(refused+"critical", 30, answers+`0`, refuses+`0+1`, open+`10`)
	quiet(refused+"critical", 60, refuses+`0x5 1x55`, open+`20`)

	const oldest = `confirm_oldest_question_timestamp_seconds `
	fires("CountersignConfirmationOverdue warning", 1450, oldest+`1`)
	quiet("CountersignConfirmationOverdue warning", 1450, oldest+`3600`)
	quiet("CountersignConfirmationOverdue warning", 1450) // none is open
	fires("CountersignConfirmationUnanswered critical", 10090, oldest+`1`)
	quiet("CountersignConfirmationUnanswered critical", 10090, oldest+`3600`)
	quiet("CountersignConfirmationUnanswered critical", 10090)
}

func timeStories(fires, quiet teller) {
	const late, next, within = "CountersignTimersLate ", `relay_timer_next_timestamp_seconds `, `relay_timer_lateness_seconds_bucket{le="60.0"} `
	fires(late+"critical", 20, next+`1`)
	quiet(late+"critical", 14, next+`1`)
	quiet(late+"critical", 20, next+`0`) // nobody's status has an end
	fires(late+"warning", 5, next+`1`)
	quiet(late+"warning", 20, next+`0`)
	quiet(late+"warning", 20, next+`0+60`) // each is fired as it becomes due
	// A fifth of them comes late; one in twenty; all do, after an hour without a gateway.
	fires(late+"warning", 60, within+`0+80`)
	quiet(late+"warning", 60, within+`0+95`)
	quiet(late+"warning", 90, `process_start_time_seconds 4680`, within+`0`,
		`relay_timer_lateness_seconds_bucket{le="300.0"} 0`, `relay_timer_lateness_seconds_bucket{le="+Inf"} 0x79 500x11`)
}

func deliveryStories(fires, quiet teller) {
	fires("CountersignDeliveryOldestDue warning", 10, `outbox_oldest_due_seconds{endpoint="acme"} 400`)
	quiet("CountersignDeliveryOldestDue warning", 10, `outbox_oldest_due_seconds{endpoint="acme"} 200`)
	quiet("CountersignDeliveryOldestDue warning", 20, `outbox_oldest_due_seconds{endpoint="acme"} 0x5 400x3 0x10`)
	const waits = `outbox_oldest_pending_seconds{endpoint="acme"} `
	// One person's delivery is refused again and again, and nothing is due; it was accepted in time;
	// another alert says that the endpoint is disabled; it was paused, and forgotten.
	fires("CountersignDeliveryPendingLong warning", 45, waits+`20000+60`)
	quiet("CountersignDeliveryPendingLong warning", 30, waits+`20000+60`)
	quiet("CountersignDeliveryPendingLong warning", 60, waits+`20000+60x20 0+60x40`)
	quiet("CountersignDeliveryPendingLong warning", 45, waits+`20000+60`, `relay_endpoint_disabled{endpoint="acme"} 1`)
	fires("CountersignDeliveryPendingLong warning", 45, waits+`20000+60`, `relay_endpoint_paused{endpoint="acme"} 1`)
	fires("CountersignPendingHigh warning", 20, `outbox_pending_deliveries{endpoint="acme"} 600000`)
	quiet("CountersignPendingHigh warning", 20, `outbox_pending_deliveries{endpoint="acme"} 400000`)
	quiet("CountersignPendingHigh warning", 20, `outbox_pending_deliveries{endpoint="acme"} 600000`, `outbox_max_pending_deliveries{endpoint="acme"} 0`) // no limit
	fires("CountersignRejectionWithheld critical", 20, `outbox_oldest_withheld_rejection_seconds{endpoint="acme"} 0+60`)
	quiet("CountersignRejectionWithheld critical", 14, `outbox_oldest_withheld_rejection_seconds{endpoint="acme"} 0+60`)
	// It has died after 74 hours; its endpoint is gone from the config, with all its other series.
	// It is quiet where an operator has acknowledged it, or it has been told, in time.
	fires("CountersignRejectionWithheld critical", 20, `outbox_oldest_withheld_rejection_seconds{endpoint="acme"} 266400+60`, `outbox_pending_deliveries{endpoint="acme"} 0`, `outbox_dead_lettered_deliveries{endpoint="acme"} 1`)
	fires("CountersignRejectionWithheld critical", 20, `outbox_oldest_withheld_rejection_seconds{endpoint="gone"} 0+60`)
	fires("CountersignRejectionWithheld critical", 40, `outbox_oldest_withheld_rejection_seconds{endpoint="acme"} 0+60`, `outbox_pending_deliveries{endpoint="acme"} 5x10 _x30`, `outbox_oldest_due_seconds{endpoint="acme"} 0x10 _x30`,
		`outbox_max_pending_deliveries{endpoint="acme"} 10x10 _x30`, `outbox_dead_lettered_deliveries{endpoint="acme"} 0x10 _x30`)
	quiet("CountersignRejectionWithheld critical", 40, `outbox_oldest_withheld_rejection_seconds{endpoint="gone"} 0+60x13 _x30`)
	quiet("CountersignRejectionWithheld critical", 40, `outbox_oldest_withheld_rejection_seconds{endpoint="acme"} 0+60x13 0x30`)
	quiet("CountersignRejectionWithheld critical", 60, `outbox_oldest_due_seconds{endpoint="acme"} 0+60`)
	fires("CountersignDeadLettered warning", 10, `outbox_dead_lettered_deliveries{endpoint="acme"} 0x5 2x5`)
	quiet("CountersignDeadLettered warning", 30, `outbox_dead_lettered_deliveries{endpoint="acme"} 5x10 2x20`) // known, and being redelivered
	fires("CountersignCertificateExpiresSoon warning", 10, `ingest_certificate_expires_timestamp_seconds{} 600000x20`)
	quiet("CountersignCertificateExpiresSoon warning", 10, `ingest_certificate_expires_timestamp_seconds{} 9000000x20`)
	quiet("CountersignCertificateExpiresSoon warning", 10, `ingest_certificate_expires_timestamp_seconds{} 0x20`) // plain HTTP
	fires("CountersignClientCertificateExpiresSoon warning", 10, `relay_client_certificate_expires_timestamp_seconds{endpoint="acme"} 600000x20`)
	quiet("CountersignClientCertificateExpiresSoon warning", 10, `relay_client_certificate_expires_timestamp_seconds{endpoint="acme"} 9000000x20`)
	quiet("CountersignClientCertificateExpiresSoon warning", 10, `relay_client_certificate_expires_timestamp_seconds{endpoint="acme"} 0x20`) // it cannot be read
	fires("CountersignEndpointDisabled critical", 10, `relay_endpoint_disabled{endpoint="acme"} 0x5 1x5`)
	fires("CountersignEndpointBreakerOpen warning", 40, `relay_endpoint_breaker{endpoint="acme"} 0x5 2x40`)
	quiet("CountersignEndpointBreakerOpen warning", 40, `relay_endpoint_breaker{endpoint="acme"} 0x5 2x10 1x2 0x40`) // back within a quarter of an hour
	quiet("CountersignEndpointDisabled critical", 10, `relay_attempts_total{endpoint="acme",outcome="retry"} 0+20`)

	failing := func(endpoint string) []string {
		return []string{`relay_attempts_total{endpoint="` + endpoint + `",outcome="done"} 0+5`, `relay_attempts_total{endpoint="` + endpoint + `",outcome="retry"} 0+10`}
	}
	without := func(endpoint string) []string {
		return []string{`relay_attempts_total{endpoint="` + endpoint + `",outcome="done"} 7`}
	}
	join := func(parts ...[]string) (all []string) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	fires("CountersignEndpointFailing warning", 40, failing("acme")...)
	quiet("CountersignEndpointFailing warning", 40, `relay_attempts_total{endpoint="acme",outcome="retry"} 0+10`) // a third
	quiet("CountersignEndpointFailing warning", 14, failing("acme")...)                                           // a short outage
	fires("CountersignManyEndpointsFailing critical", 20, join(failing("acme"), failing("beta"))...)
	quiet("CountersignManyEndpointsFailing critical", 20, failing("acme")...)
	quiet("CountersignManyEndpointsFailing critical", 20, join(failing("acme"), failing("beta"), without("gamma"))...) // two partners are no majority of anything
}

func kafkaStories(fires, quiet teller) {
	const lagging, stopped, stalled = "CountersignForwardLagging ", "CountersignForwardStopped critical", "CountersignForwardStalled critical"
	const age, waits, gone = `forward_lag_seconds{topic="kyc.status-updates"} `, `forward_lag_records{topic="kyc.status-updates"} `, `forward_records_total{topic="kyc.status-updates"} `
	fires(lagging+"warning", 10, age+`0+60`)
	quiet(lagging+"warning", 20, age+`0x5 100 0x14`) // a leader moved
	quiet(lagging+"warning", 20, age+`50`)
	fires(lagging+"critical", 30, age+`0+60`)
	quiet(lagging+"critical", 14, age+`0+60`)
	fires(lagging+"critical", 10, age+`0+60`, `journal_backlog_records 0+50000`) // full in twenty minutes
	quiet(lagging+"critical", 14, age+`0+60`, `journal_backlog_records 0+5000`)  // not within the hour
	quiet(lagging+"critical", 14, `journal_backlog_records 0+50000`)             // it is not Kafka that is waited for

	const permanent = `forward_stopped{topic="kyc.status-changes"} `
	fires(stopped, 10, permanent+`0x5 1x5`)
	quiet(stopped, 20, permanent+`0x5 1 0x14`)
	fires(stalled, 20, gone+`0+60x5 300x15`, waits+`1x5 2+60x15`)                      // unreachable
	quiet(stalled, 20, gone+`60`, waits+`0`)                                           // nothing to forward
	quiet(stalled, 20, gone+`0+60x5 300x4 300+60x11`, waits+`1x5 60 120 180 240 1x11`) // out for four minutes
	quiet(stalled, 20, gone+`0+1`, waits+`5000`)                                       // slow

	const skipped = `forward_skipped_records_total{topic="kyc.status-updates"} `
	fires("CountersignForwardSkipped warning", 10, `process_start_time_seconds 300`, skipped+`_x5 4000x5`) // there from the first scrape on
	fires("CountersignForwardSkipped warning", 10, skipped+`0x5 4000x5`)
	quiet("CountersignForwardSkipped warning", 200, skipped+`4000`, `process_start_time_seconds -20000`) // long known
	fires("CountersignForwardTooLarge warning", 10, `forward_quarantined_total{topic="kyc.status-updates"} 0x5 1x5`)
	quiet("CountersignForwardTooLarge warning", 90, `forward_quarantined_total{topic="kyc.status-updates"} 7`)
}

func processStories(fires, quiet teller) {
	const build, other = `build_info{version="v1",role="all"} `, `{job="other",namespace="kyc",instance="o"} `
	const missing = "CountersignTargetMissing critical"
	fires(missing, 20, build+`1x5 stale _x14`, `up 1x5 stale _x14`)
	fires(missing, 20, build+`1x5 stale _x14`, `up 1x5 0x14`,
		`build_info{version="v1",role="all",job="countersign",namespace="kyc",instance="b"} 1`, `up{job="countersign",namespace="kyc",instance="b"} 1`)
	quiet(missing, 20, `up`+other+`0`)                          // not ours
	quiet(missing, 20, build+`1x5 stale 1x14`, `up 1x5 0 1x14`) // one scrape was lost
	fires("CountersignRestarting critical", 30, `process_start_time_seconds 1x5 2x5 3x5 4x12`)
	quiet("CountersignRestarting critical", 30, `process_start_time_seconds 1x5 2x5 3x18`)
	quiet("CountersignRestarting critical", 30, `process_start_time_seconds`+other+`1x5 2x5 3x5 4x12`)
	fires("CountersignOpenFilesHigh warning", 10, `process_open_fds 900`)
	quiet("CountersignOpenFilesHigh warning", 10, `process_open_fds 700`)
	fires("CountersignConnectionsUsedUp warning", 10, `ingest_connections 4000`)
	quiet("CountersignConnectionsUsedUp warning", 10, `ingest_connections 3000`)
	fires("CountersignCallbacksCrowded warning", 20, `ingest_bodies_cut_total 0+5`)
	fires("CountersignCallbacksCrowded warning", 20, `ingest_connections_evicted_total{reason="address"} 0+50`)
	fires("CountersignCallbacksCrowded warning", 20, `ingest_callbacks_total{source="sumsub",verdict="bodies"} 0+5`)
	quiet("CountersignCallbacksCrowded warning", 20, `ingest_connections_evicted_total{reason="all"} 0+2`)
	quiet("CountersignOpenFilesHigh warning", 10, `process_open_fds`+other+`900`, `process_max_fds`+other+`1000`)
	const wrong = "CountersignWrongTokens warning"
	fires(wrong, 20, `control_refused_total{reason="token_unknown"} 0+5`)
	fires(wrong, 20, `control_refused_total{reason="token_expired"} 0+4`) // Prometheus, every 15 seconds
	fires(wrong, 20, `control_refused_total{reason="token_revoked"} 0+2`, `control_refused_total{reason="token_unknown"} 0+2`)
	quiet(wrong, 60, `control_refused_total{reason="token_unknown"} 0+1`) // somebody types it
	quiet(wrong, 60, `control_refused_total{reason="token_missing"} 0+60`)
	quiet(wrong, 60, `control_refused_total{reason="host"} 0+60`)
	const reload = "CountersignConfigNotReloaded warning"
	fires(reload, 20, `reload_last_successful 1x5 0x15`)
	quiet(reload, 20, `reload_last_successful 1x5 0x3 1x11`) // corrected at once
	quiet(reload, 20)
	fires("CountersignWatchdog info", 5)
	quiet("CountersignWatchdog info", 5, build+`_x5`)
}
