package dashboards

// overview describes overview.json. A threshold line is the alert's own number.
func overview() board {
	return newBoard("countersign-overview", "Countersign / Overview",
		"Callbacks in, decisions folded, webhooks out: what is promised, what comes, what waits and what it costs.",
		[]row{glanceRow(), tablesRow(), promisesRow(), heatmapsRow(), callbacksRow(), storageRow(), foldRow(), confirmRow(), deliveriesRow(), kafkaRow(), processRow()})
}

func promisesRow() row {
	return row{"Promises", []view{
		{
			title: "Callbacks answered 200 within a second", unit: "percentunit", max: 1, alert: "CountersignCallbackSLOBurn",
			description: "Of all answers, strangers' refusals included, the part that took no more than a second; and of genuine callbacks, the part we did not refuse. Promised: 99.9 %.",
			queries: []query{
				{within("1", "countersign_ingest_callback_seconds"), "within 1 s"},
				{`1 - sum(rate(countersign_ingest_callbacks_total{verdict=~"backlog|full|kafka|undecided|stopping|panic"}[$__rate_interval])) / sum(rate(countersign_ingest_callbacks_total{verdict=~"accepted|ignored|quarantined|handshake|backlog|full|kafka|undecided|stopping|panic"}[$__rate_interval]))`, "not refused by us"},
			},
		},
		{
			title: "Delivered within a minute of receipt", unit: "percentunit", max: 1, alert: "CountersignDeliverySLOBurn",
			description: "Of what partners accepted, the part that came within 60 seconds of its callback, partners' own failures included. The promise (99.5 %) leaves those out: see the next panel.",
			queries:     []query{{within("60", "countersign_relay_end_to_end_seconds"), "within 60 s"}},
		},
		{
			title: "Promises broken, over an hour", unit: "percentunit",
			description: "From the recording rules in alerts.yaml, so it is empty where they are not loaded. Callbacks late or refused by us (0.1 % is allowed); time in which a partner that answers was owed something due for over a minute (0.5 %).",
			queries: []query{
				{`countersign:callbacks_bad:ratio_rate1h`, "callbacks, {{job}}"},
				{`countersign:endpoints_late:ratio1h`, "deliveries, {{job}}"},
			},
		},
	}}
}

func callbacksRow() row {
	return row{"Callbacks", []view{
		{
			title: "Callbacks by verdict", unit: "reqps", stack: true, alert: "CountersignCallbacksRefusedByUs",
			description: "What became of every callback. backlog, full, kafka, undecided, stopping, panic, no_key and questions are answered 503.",
			queries:     []query{{`sum by (verdict) (rate(countersign_ingest_callbacks_total{source=~"$source"}[$__rate_interval])) > 0`, "{{verdict}}"}},
		},
		{
			title: "Taken, by source", unit: "reqps", alert: "CountersignSourceSilent",
			description: "Genuine callbacks that were answered 200.",
			queries:     []query{{`sum by (source) (rate(countersign_ingest_callbacks_total{source=~"$source",verdict=~"accepted|ignored|quarantined|handshake"}[$__rate_interval]))`, "{{source}}"}},
		},
		{
			title: "Refused, by source", unit: "reqps", alert: "CountersignSourceRefusalsJump",
			description: "Everything that was not answered 200, and why. mismatch on a source that used to work is most often a key that was changed on one side; no_key, a published key that could not be looked up.",
			queries:     []query{{`sum by (source, verdict) (rate(countersign_ingest_callbacks_total{source=~"$source",verdict!~"accepted|ignored|quarantined|handshake"}[$__rate_interval])) > 0`, "{{source}} {{verdict}}"}},
		},
		{
			title: "Handshakes refused", unit: "ops", stack: true,
			description: "TLS handshakes refused for the client's certificate, where tls.client_ca asks for one. missing: it showed none. unknown: of another authority, or not made for clients.",
			queries:     []query{{`sum by (reason) (rate(countersign_ingest_handshakes_refused_total[$__rate_interval]))`, "{{reason}}"}},
		},
		{
			title: "Callback latency", unit: "s",
			description: "From a callback's headers to our answer, which waits for the disk. Providers give up after five seconds.",
			queries: []query{
				{quantile("0.5", "countersign_ingest_callback_seconds"), "p50"},
				{quantile("0.99", "countersign_ingest_callback_seconds"), "p99"},
			},
		},
		{
			title: "Provider clock ahead", unit: "ops", alert: "CountersignProviderClockAhead",
			description: "Updates whose time lay more than five minutes in our future and was cut back to their arrival.",
			queries:     []query{{`sum by (source) (rate(countersign_ingest_clock_ahead_total{source=~"$source"}[$__rate_interval]))`, "{{source}}"}},
		},
		{
			title: "Evidence that approvals need", unit: "none",
			description: "How many sources approve on which evidence. Anything but signed was configured so on purpose.",
			queries:     []query{{`count by (evidence, source) (countersign_ingest_source_evidence{source=~"$source"} == 1)`, "{{source}} {{evidence}}"}},
		},
	}}
}

func storageRow() row {
	return row{"Journal and storage", []view{
		{
			title: "Commit latency", unit: "s", line: 0.25, alert: "CountersignCommitSlow",
			description: "One group commit: its writes and both flushes. Every callback waits for one.",
			queries: []query{
				{quantile("0.5", "countersign_store_commit_seconds"), "p50"},
				{quantile("0.99", "countersign_store_commit_seconds", "instance"), "p99 {{instance}}"},
			},
		},
		{
			title: "Writes per commit", unit: "none",
			description: "How many writes share a flush. It grows with the load; that is why the disk keeps up.",
			queries:     []query{{mean("countersign_store_commit_group_size", "instance"), "{{instance}}"}},
		},
		{
			title: "Records written", unit: "wps",
			description: "Records put into the file, and taken out of it. What one callback comes to is this divided by the callbacks.",
			queries:     []query{{`sum by (what) (rate(countersign_store_records_written_total[$__rate_interval]))`, "{{what}}"}},
		},
		{
			title: "Commit failures and settle retries", unit: "ops", alert: "CountersignSettleRetries",
			description: "full: new callbacks are refused. io: the process stops. Settle retries: outcomes of attempts that wait to be written.",
			queries: []query{
				{`sum by (reason) (rate(countersign_store_commit_failures_total[$__rate_interval]))`, "commit {{reason}}"},
				{`sum(rate(countersign_outbox_settle_retries_total[$__rate_interval]))`, "settle retry"},
			},
		},
		{
			title: "Journal backlog", unit: "percentunit", max: 1, line: 0.5, alert: "CountersignJournalBacklogHigh",
			description: "Records that wait for the relay, or for Kafka where it is configured, as part of those that may. At 100 % new callbacks are answered 503.",
			queries:     []query{{`countersign_journal_backlog_records / countersign_journal_backlog_max_records`, "{{instance}}"}},
		},
		{
			title: "Records that wait", unit: "none", alert: "CountersignFoldBehind",
			description: "The same in numbers, and how many of them the relay has not passed. What stays above nothing there means that partners are told late; the rest waits for Kafka (row Kafka).",
			queries: []query{
				{`countersign_journal_backlog_records`, "{{instance}}"},
				{`countersign_journal_unread_records`, "for the relay {{instance}}"},
			},
		},
		{
			title: "Filters that failed", unit: "ops",
			description: "Changes that the filter of an endpoint failed about. They are sent all the same; the log names the endpoint (endpoint_filter_failed).",
			queries: []query{
				{`sum by (instance) (rate(countersign_relay_filter_failures_total[$__rate_interval]))`, "{{instance}}"},
			},
		},
		{
			title: "Damaged records", unit: "ops", alert: "CountersignDamagedRecords",
			description: "Records that failed their checksum. They stay in the file and are passed over.",
			queries: []query{
				{`sum by (instance) (rate(countersign_journal_damaged_records_total[$__rate_interval]))`, "journal {{instance}}"},
				{`sum by (instance) (rate(countersign_outbox_put_down_total{reason="damaged"}[$__rate_interval]))`, "delivery {{instance}}"},
				{`sum by (instance) (rate(countersign_relay_damaged_changes_total[$__rate_interval]))`, "change for Kafka {{instance}}"},
			},
		},
		{
			title: "Subjects set aside", unit: "short", alert: "CountersignSubjectsSetAside",
			description: "Subjects of whom a record is damaged: nothing new is told of them until they are rebuilt. Beside them the damaged records that were put aside when the file was mended, and those that were put right at the last start.",
			queries: []query{
				{`countersign_relay_subjects_set_aside`, "set aside {{instance}}"},
				{`sum by (instance, bucket) (countersign_store_damaged_records) > 0`, "damaged, {{bucket}} {{instance}}"},
				{`sum by (instance, outcome) (countersign_store_mended_records)`, "at this start, {{outcome}} {{instance}}"},
			},
		},
		{
			title: "Database file", unit: "bytes",
			description: "What is free in the file is used again; it shrinks when it is compacted (countersign compact). The upper line is storage.max_size.",
			queries: []query{
				{`countersign_store_file_bytes`, "file {{instance}}"},
				{`countersign_store_file_bytes - countersign_store_free_page_bytes`, "in use {{instance}}"},
				{`countersign_store_free_page_bytes`, "free pages {{instance}}"},
				{`countersign_store_max_bytes`, "max {{instance}}"},
			},
		},
		{
			title: "Compactions", unit: "short",
			description: "Compactions of the database file, by outcome (failed: the file stayed as it was), and for how many seconds the last one held up the writer.",
			queries: []query{
				{`sum by (instance, outcome) (increase(countersign_store_compactions_total[$__rate_interval]))`, "{{outcome}} {{instance}}"},
				{`countersign_store_compaction_pause_seconds`, "held up {{instance}}"},
			},
		},
		{
			title: "Database in use", unit: "percentunit", max: 1, line: 0.8, alert: "CountersignStorageNearlyFull",
			description: "Pages in use, as part of storage.max_size.",
			queries:     []query{{`(countersign_store_file_bytes - countersign_store_free_page_bytes) / countersign_store_max_bytes`, "{{instance}}"}},
		},
		{
			title: "Disk free", unit: "bytes", line: 2147483648, alert: "CountersignStorageNearlyFull",
			description: "What is left on the disk of the data directory.",
			queries:     []query{{`countersign_store_disk_free_bytes`, "{{instance}}"}},
		},
		{
			title: "Storage is full", unit: "none", max: 1, alert: "CountersignStorageFull",
			description: "1: new callbacks are refused. What is owed is still delivered. And by what is short: the disk, storage.max_size, what is owed to what has been taken, the last commit.",
			queries: []query{
				{`countersign_store_full`, "{{instance}}"},
				{`max by (what) (countersign_store_short)`, "{{what}}"},
			},
		},
		{
			title: "Room", unit: "bytes", alert: "CountersignFoldWaits",
			description: "What the file can still take, what of that is expected to be written for what has been taken, and what new callbacks leave. They are refused when the first falls below the sum of the others.",
			queries: []query{
				{`countersign_store_room_bytes`, "room {{instance}}"},
				{`countersign_store_owed_bytes`, "owed {{instance}}"},
				{`countersign_store_reserve_bytes`, "reserve {{instance}}"},
			},
		},
		{
			title: "Removed by retention", unit: "ops",
			description: "History, changes and failed attempts that had their time. What is owed, dead or in quarantine is never among them.",
			queries:     []query{{`sum by (instance) (rate(countersign_relay_retention_removed_total[$__rate_interval]))`, "{{instance}}"}},
		},
	}}
}

func foldRow() row {
	return row{"Fold", []view{
		{
			title: "Records by verdict", unit: "ops", stack: true, alert: "CountersignParkedApprovals",
			description: "What became of each record: duplicate, stale and superseded change nothing and are normal; parked is an approval behind a final rejection, held one behind a hit.",
			queries:     []query{{`sum by (verdict) (rate(countersign_relay_updates_total[$__rate_interval])) > 0`, "{{verdict}}"}},
		},
		{
			title: "Left to an operator", unit: "ops", stack: true, alert: "CountersignOverruled",
			description: "Approvals that wait behind a final rejection (parked) or a match (held), and what takes away but is answered by an operator's approval that came later (overruled).",
			queries:     []query{{`sum by (verdict) (rate(countersign_relay_updates_total{verdict=~"parked|held|overruled"}[$__rate_interval])) > 0`, "{{verdict}}"}},
		},
		{
			title: "Held by a match", unit: "short", alert: "CountersignApprovalsHeld",
			description: "Persons of whom a sanctions or PEP match stands that nobody has released. Only an operator releases it.",
			queries:     []query{{`sum by (instance, mode) (countersign_relay_subjects_held)`, "{{mode}} {{instance}}"}},
		},
		{
			title: "Status changes", unit: "ops", stack: true,
			description: "Decisions about people, as partners are told. A sudden change of the mix is worth a question to compliance.",
			queries:     []query{{`sum by (status) (rate(countersign_relay_status_changes_total[$__rate_interval]))`, "{{status}}"}},
		},
		{
			title: "Fold latency", unit: "s",
			description: "One batch of up to 1,000 records, with its commit.",
			queries: []query{
				{quantile("0.5", "countersign_relay_fold_seconds"), "p50"},
				{quantile("0.99", "countersign_relay_fold_seconds"), "p99"},
			},
		},
		{
			title: "Unrouted records", unit: "none", alert: "CountersignUnroutedRecords",
			description: "They wait until somebody is known by their ref.",
			queries:     []query{{`countersign_relay_unrouted_records`, "{{instance}}"}},
		},
		{
			title: "Unconfirmed claims", unit: "ops", alert: "CountersignUnconfirmedClaims",
			description: "Claims of approved, final or suspended that were not proven well enough and count as in_review.",
			queries:     []query{{`sum by (instance) (rate(countersign_relay_unconfirmed_claims_total[$__rate_interval]))`, "{{instance}}"}},
		},
		{
			title: "Contested refs", unit: "none", alert: "CountersignAmbiguousRef",
			description: "Provider refs that two have registered, or that are two people's: what comes for them waits until an operator has settled whose they are.",
			queries:     []query{{`countersign_relay_contested_refs`, "{{instance}}"}},
		},
		{
			title: "Submissions", unit: "ops", stack: true,
			description: "Refs that were registered, by what came of it: contested is two about one ref, refused one about somebody else's, too_many one beyond what a partner may have open.",
			queries:     []query{{`sum by (outcome) (rate(countersign_relay_submissions_total[$__rate_interval]))`, "{{outcome}}"}},
		},
		{
			title: "Ambiguous refs", unit: "ops", alert: "CountersignAmbiguousRef",
			description: "Provider refs that were taught for two subjects. Nobody is guessed.",
			queries:     []query{{`sum by (instance) (rate(countersign_relay_ambiguous_refs_total[$__rate_interval]))`, "{{instance}}"}},
		},
		{
			title: "Calls that change something", unit: "ops", stack: true,
			description: "Of the control API, by what came of them. Many refused ones are a partner whose program is broken, or somebody who tries; refused_not_kept are in the log only.",
			queries:     []query{{`sum by (result) (rate(countersign_control_audited_calls_total[$__rate_interval]))`, "{{result}}"}},
		},
		{
			title: "Calls of partners over their rate", unit: "ops",
			description: "Calls of partners' tokens that write, and were answered 429 because one token makes too many.",
			queries:     []query{{`sum by (instance) (rate(countersign_control_partner_calls_limited_total[$__rate_interval]))`, "{{instance}}"}},
		},
		{
			title: "Quarantine", unit: "none", alert: "CountersignQuarantineNotEmpty",
			description: "Genuine callbacks, events and answers whose body is kept aside because we could not understand it in full, or may not apply it.",
			queries:     []query{{`countersign_journal_quarantine_items`, "{{instance}}"}},
		},
		{
			title: "Put in quarantine", unit: "ops", stack: true, alert: "CountersignQuarantineGrowing",
			description: "By reason: unreadable, livemode (test where live is configured, or the other way round), unknown_word (applied as in_review), unknown_event (a decision under a name we do not know: CountersignUnknownEvent), workflow and account (not those that the source names), no_partner.",
			queries:     []query{{`sum by (reason) (rate(countersign_journal_quarantined_total[$__rate_interval]))`, "{{reason}}"}},
		},
	}}
}

func processRow() row {
	return row{"Process", []view{
		{
			title: "Versions", unit: "none", alert: "CountersignTargetMissing",
			description: "Gateways that are seen, by version and role.",
			queries:     []query{{`count by (version, role) (countersign_build_info)`, "{{version}} {{role}}"}},
		},
		{
			title: "Uptime", unit: "s", alert: "CountersignRestarting",
			description: "A saw-tooth is a process that restarts again and again.",
			queries:     []query{{`time() - process_start_time_seconds`, "{{instance}}"}},
		},
		{
			title: "Starts", unit: "short", stack: true, alert: "CountersignUncleanStart",
			description: "By how the process before had ended. unclean: it was killed, lost its power, or ended itself after an I/O error. Counted in the database, so that none is missed.",
			queries:     []query{{`sum by (instance, ended) (increase(countersign_starts_total[$__rate_interval]))`, "{{ended}} {{instance}}"}},
		},
		{
			title: "Found at the start", unit: "none", alert: "CountersignFileMended",
			description: "What the last start found left by the process before: callbacks taken and not evaluated, deliveries pending, and what does not fit together in the database. It goes on with the first two by itself.",
			queries: []query{
				{`countersign_recovery_unfolded_records`, "not evaluated {{instance}}"},
				{`countersign_recovery_pending_deliveries`, "pending {{instance}}"},
				{`countersign_recovery_problems`, "inconsistent {{instance}}"},
			},
		},
		{
			title: "Check of the database at the start", unit: "s",
			description: "How long the last start examined the database before it used it: callbacks were not taken meanwhile. 0: it was large, and had been closed cleanly.",
			queries:     []query{{`countersign_recovery_check_seconds`, "{{instance}}"}},
		},
		{
			title: "CPU", unit: "percentunit",
			description: "Of one core: 100 % is one core busy.",
			queries:     []query{{`rate(process_cpu_seconds_total[$__rate_interval])`, "{{instance}}"}},
		},
		{
			title: "Memory", unit: "bytes",
			description: "Resident memory has pages of the database file in it, which the system takes back when it needs them; the Go heap is ours.",
			queries: []query{
				{`process_resident_memory_bytes`, "resident {{instance}}"},
				{`go_memstats_heap_inuse_bytes`, "heap {{instance}}"},
			},
		},
		{
			title: "Goroutines", unit: "none",
			description: "They follow the connections and the attempts in flight, never what is owed.",
			queries:     []query{{`go_goroutines`, "{{instance}}"}},
		},
		{
			title: "Garbage collection", unit: "s",
			description: "The longest pause of the Go runtime, of the last collections.",
			queries:     []query{{`go_gc_duration_seconds{quantile=~"1|1[.]0"}`, "{{instance}}"}},
		},
		{
			title: "Open files", unit: "percentunit", max: 1, line: 0.8, alert: "CountersignOpenFilesHigh",
			description: "Open files and connections, as part of those that may be open.",
			queries:     []query{{`process_open_fds / process_max_fds`, "{{instance}}"}},
		},
		{
			title: "Connections of providers", unit: "percentunit", max: 1, line: 0.9, alert: "CountersignConnectionsUsedUp",
			description: "Open connections on the callbacks' listener, as part of those that may be open. At 100 % the one that has been idle or slow for longest is closed for the next.",
			queries:     []query{{`countersign_ingest_connections / countersign_ingest_connections_max`, "{{instance}}"}},
		},
		{
			title: "Memory for bodies", unit: "percentunit", max: 1, alert: "CountersignCrowded",
			description: "What callbacks that are on their way hold of the memory there is for their bodies. At 100 % the slowest are cut, and then callbacks are refused with 503.",
			queries:     []query{{`countersign_ingest_body_bytes / countersign_ingest_body_bytes_max`, "{{instance}}"}},
		},
		{
			title: "Cut to make place", unit: "ops", alert: "CountersignCrowded",
			description: "Bodies cut because they came slowest when the memory for bodies was used up, and connections closed for others: because all were taken, or those of one address.",
			queries: []query{
				{`rate(countersign_ingest_bodies_cut_total[$__rate_interval])`, "bodies {{instance}}"},
				{`rate(countersign_ingest_connections_crowded_total[$__rate_interval])`, "connections, {{reason}} {{instance}}"},
			},
		},
		{
			title: "Refused at the control listener", unit: "ops", stack: true, alert: "CountersignWrongTokens",
			description: "token_unknown, token_expired, token_revoked: wrong tokens; too_often: those of them that were not looked at. host: called by a name that is not its own, by a page that should not or by a probe whose name is missing in listen.control_hosts. scope: a right token that may not do this. crowd: a slow connection made room for a new one.",
			queries:     []query{{`sum by (reason) (rate(countersign_control_refused_total[$__rate_interval])) > 0`, "{{reason}}"}},
		},
		{
			title: "Reloads of the config", unit: "short", stack: true, alert: "CountersignConfigNotReloaded",
			description: "By what came of them. refused: the file is wrong, or takes a restart, and what was there before counts on; the log line config_refused names file, line, key and remedy.",
			queries: []query{
				{`sum by (outcome) (increase(countersign_reloads_total[$__rate_interval]))`, "{{outcome}}"},
			},
		},
		{
			title: "Age of the config that counts", unit: "s", alert: "CountersignConfigNotReloaded",
			description: "Since the start, or the last reload that was applied. It says nothing about how old the file is.",
			queries:     []query{{`time() - countersign_reload_last_success_timestamp_seconds`, "{{instance}}"}},
		},
		{
			title: "Since a reload was refused", unit: "s", alert: "CountersignConfigNotReloaded",
			description: "How long ago a reload was last refused or failed; empty: none has been since the start.",
			queries:     []query{{`time() - (countersign_reload_last_failure_timestamp_seconds > 0)`, "{{instance}}"}},
		},
		{
			title: "Spans of traces", unit: "ops", stack: true,
			description: "By what became of them; empty without tracing in the config. dropped: more than the collector takes, so lower tracing.sample. failed: it refuses them, and the log line tracing_trouble says why. Neither costs a callback or a delivery anything.",
			queries:     []query{{`sum by (outcome) (rate(countersign_tracing_spans_total[$__rate_interval]))`, "{{outcome}}"}},
		},
		{
			title: "Log lines that nobody got", unit: "ops",
			description: "Lines lost because a write failed or the reader was too slow, and the writes that failed. The gateway goes on; a line log_lines_missing says how many when it flows again.",
			queries: []query{
				{`rate(countersign_log_lines_lost_total[$__rate_interval])`, "lines {{instance}}"},
				{`rate(countersign_log_write_errors_total[$__rate_interval])`, "failed writes {{instance}}"},
			},
		},
	}}
}
