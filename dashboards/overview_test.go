package dashboards

// overview describes overview.json. A threshold line is the alert's own number.
func overview() board {
	return newBoard("countersign-overview", "Countersign / Overview",
		"Callbacks in, decisions made, webhooks out: what is promised, rates, backlogs and resources.",
		[]row{glanceRow(), tablesRow(), promisesRow(), heatmapsRow(), callbacksRow(), storageRow(), foldRow(), confirmRow(), deliveriesRow(), kafkaRow(), processRow()})
}

func promisesRow() row {
	return row{"Promises", []view{
		{
			title: "Callbacks answered 200 within a second", unit: "percentunit", max: 1, alert: "CountersignCallbackSLOBurn",
			description: "Two lines: the part of all answers (refusals included) that took one second or less, and the part of genuine callbacks that we did not refuse. Promised: 99.9 %.",
			queries: []query{
				{within("1", "countersign_ingest_callback_seconds"), "within 1 s"},
				{`1 - sum(rate(countersign_ingest_callbacks_total{verdict=~"backlog|full|kafka|undecided|stopping|panic"}[$__rate_interval])) / sum(rate(countersign_ingest_callbacks_total{verdict=~"accepted|ignored|quarantined|handshake|backlog|full|kafka|undecided|stopping|panic"}[$__rate_interval]))`, "not refused by us"},
			},
		},
		{
			title: "Delivered within a minute of receipt", unit: "percentunit", max: 1, alert: "CountersignDeliverySLOBurn",
			description: "Of the accepted deliveries, the part that was accepted within 60 seconds of its callback. Failures of partners are included. The promise (99.5 %) leaves them out: see the next panel.",
			queries:     []query{{within("60", "countersign_relay_end_to_end_seconds"), "within 60 s"}},
		},
		{
			title: "Promises not kept, over an hour", unit: "percentunit",
			description: "From the recording rules in alerts.yaml; empty if they are not loaded. Callbacks: late, or refused by us (allowed: 0.1 %). Deliveries: time in which a delivery to a healthy endpoint was due for more than one minute (allowed: 0.5 %).",
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
			description: "All callbacks, by verdict. backlog, full, kafka, undecided, stopping, panic, no_key and questions are answered 503.",
			queries:     []query{{`sum by (verdict) (rate(countersign_ingest_callbacks_total{source=~"$source"}[$__rate_interval])) > 0`, "{{verdict}}"}},
		},
		{
			title: "Accepted, by source", unit: "reqps", alert: "CountersignSourceSilent",
			description: "Genuine callbacks that were answered 200.",
			queries:     []query{{`sum by (source) (rate(countersign_ingest_callbacks_total{source=~"$source",verdict=~"accepted|ignored|quarantined|handshake"}[$__rate_interval]))`, "{{source}}"}},
		},
		{
			title: "Refused, by source", unit: "reqps", alert: "CountersignSourceRefusalsJump",
			description: "Callbacks that were not answered 200, by verdict. mismatch at a source that worked before: most often a key that was changed on one side only. no_key: a published key could not be looked up.",
			queries:     []query{{`sum by (source, verdict) (rate(countersign_ingest_callbacks_total{source=~"$source",verdict!~"accepted|ignored|quarantined|handshake"}[$__rate_interval])) > 0`, "{{source}} {{verdict}}"}},
		},
		{
			title: "Handshakes refused", unit: "ops", stack: true,
			description: "TLS handshakes refused because of the client certificate, if tls.client_ca is set. missing: the client sent none. unknown: from another CA, or not a client certificate.",
			queries:     []query{{`sum by (reason) (rate(countersign_ingest_handshakes_refused_total[$__rate_interval]))`, "{{reason}}"}},
		},
		{
			title: "Callback latency", unit: "s",
			description: "From a callback's headers to our answer. The answer waits for the disk. Providers give up after about five seconds.",
			queries: []query{
				{quantile("0.5", "countersign_ingest_callback_seconds"), "p50"},
				{quantile("0.99", "countersign_ingest_callback_seconds"), "p99"},
			},
		},
		{
			title: "Provider clock ahead", unit: "ops", alert: "CountersignProviderClockAhead",
			description: "Updates whose time was more than five minutes in the future. The time of receipt is used instead.",
			queries:     []query{{`sum by (source) (rate(countersign_ingest_clock_ahead_total{source=~"$source"}[$__rate_interval]))`, "{{source}}"}},
		},
		{
			title: "Evidence required for approvals", unit: "none",
			description: "Sources, by the evidence that an approval needs. Everything except signed was set in the config on purpose.",
			queries:     []query{{`count by (evidence, source) (countersign_ingest_source_evidence{source=~"$source"} == 1)`, "{{source}} {{evidence}}"}},
		},
	}}
}

func storageRow() row {
	return row{"Journal and storage", []view{
		{
			title: "Commit latency", unit: "s", line: 0.25, alert: "CountersignCommitSlow",
			description: "One group commit with both flushes. Every callback waits for one.",
			queries: []query{
				{quantile("0.5", "countersign_store_commit_seconds"), "p50"},
				{quantile("0.99", "countersign_store_commit_seconds", "instance"), "p99 {{instance}}"},
			},
		},
		{
			title: "Writes per commit", unit: "none",
			description: "How many writes share one commit. It grows with the load, so the number of flushes does not.",
			queries:     []query{{mean("countersign_store_commit_group_size", "instance"), "{{instance}}"}},
		},
		{
			title: "Records written", unit: "wps",
			description: "Records written to the database and deleted from it. Divide by the callbacks to get the records per callback.",
			queries:     []query{{`sum by (what) (rate(countersign_store_records_written_total[$__rate_interval]))`, "{{what}}"}},
		},
		{
			title: "Commit failures and repeated writes", unit: "ops", alert: "CountersignSettleRetries",
			description: "full: new callbacks are refused. io: the process stops. Repeated writes: results of attempts that could not be written yet.",
			queries: []query{
				{`sum by (reason) (rate(countersign_store_commit_failures_total[$__rate_interval]))`, "commit {{reason}}"},
				{`sum(rate(countersign_outbox_settle_retries_total[$__rate_interval]))`, "settle retry"},
			},
		},
		{
			title: "Results not written yet", unit: "none",
			description: "Results of attempts that wait for the disk. At 8,192 no new attempt begins. A crash repeats these deliveries, with the same webhook-id.",
			queries:     []query{{`sum by (instance) (countersign_outbox_unwritten_results)`, "{{instance}}"}},
		},
		{
			title: "Journal backlog", unit: "percentunit", max: 1, line: 0.5, alert: "CountersignJournalBacklogHigh",
			description: "Records that wait to be evaluated, or for Kafka, as part of the maximum. At 100 % new callbacks are answered 503.",
			queries:     []query{{`countersign_journal_backlog_records / countersign_journal_backlog_max_records`, "{{instance}}"}},
		},
		{
			title: "Waiting records", unit: "none", alert: "CountersignEvaluationBehind",
			description: "The same as numbers, and how many of them are not evaluated yet. If that stays above 0, partners are told late. The rest waits for Kafka (row Kafka).",
			queries: []query{
				{`countersign_journal_backlog_records`, "{{instance}}"},
				{`countersign_journal_unread_records`, "for the relay {{instance}}"},
			},
		},
		{
			title: "Failed filters", unit: "ops",
			description: "Changes for which an endpoint's filter failed. They are sent all the same. The log names the endpoint (endpoint_filter_failed).",
			queries: []query{
				{`sum by (instance) (rate(countersign_relay_filter_failures_total[$__rate_interval]))`, "{{instance}}"},
			},
		},
		{
			title: "Damaged records", unit: "ops", alert: "CountersignDamagedRecords",
			description: "Records that failed their checksum. They stay in the database and are skipped.",
			queries: []query{
				{`sum by (instance) (rate(countersign_journal_damaged_records_total[$__rate_interval]))`, "journal {{instance}}"},
				{`sum by (instance) (rate(countersign_outbox_dead_lettered_total{reason="damaged"}[$__rate_interval]))`, "delivery {{instance}}"},
				{`sum by (instance) (rate(countersign_relay_damaged_changes_total[$__rate_interval]))`, "change for Kafka {{instance}}"},
			},
		},
		{
			title: "Subjects set aside", unit: "short", alert: "CountersignSubjectsSetAside",
			description: "Subjects with a damaged record: partners are told nothing new about them until they are rebuilt. Also: damaged records that were moved aside when the file was repaired, and records that were corrected at the last start.",
			queries: []query{
				{`countersign_relay_subjects_set_aside`, "set aside {{instance}}"},
				{`sum by (instance, bucket) (countersign_store_damaged_records) > 0`, "damaged, {{bucket}} {{instance}}"},
				{`sum by (instance, outcome) (countersign_store_repaired_records)`, "at this start, {{outcome}} {{instance}}"},
			},
		},
		{
			title: "Database file", unit: "bytes",
			description: "Free space in the file is used again. The file becomes smaller when it is compacted (countersign compact). The upper line is storage.max_size.",
			queries: []query{
				{`countersign_store_file_bytes`, "file {{instance}}"},
				{`countersign_store_file_bytes - countersign_store_free_page_bytes`, "in use {{instance}}"},
				{`countersign_store_free_page_bytes`, "free pages {{instance}}"},
				{`countersign_store_max_bytes`, "max {{instance}}"},
			},
		},
		{
			title: "Compactions", unit: "short",
			description: "Compactions of the database file, by outcome (failed: the file was not changed), and how many seconds the last one blocked writes.",
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
			description: "Free space on the disk of the data directory.",
			queries:     []query{{`countersign_store_disk_free_bytes`, "{{instance}}"}},
		},
		{
			title: "Storage is full", unit: "none", max: 1, alert: "CountersignStorageFull",
			description: "1: new callbacks are refused. Pending deliveries are still sent. The other lines say what is short: disk, size (storage.max_size), pending (space for work already accepted), commit (the last commit found no space).",
			queries: []query{
				{`countersign_store_full`, "{{instance}}"},
				{`max by (what) (countersign_store_short)`, "{{what}}"},
			},
		},
		{
			title: "Space in the database", unit: "bytes", alert: "CountersignEvaluationWaiting",
			description: "room: what the file can still take. pending: what work already accepted is expected to use. reserve: what new callbacks may not use. New callbacks are refused when room falls below the sum of the other two.",
			queries: []query{
				{`countersign_store_room_bytes`, "room {{instance}}"},
				{`countersign_store_pending_bytes`, "pending {{instance}}"},
				{`countersign_store_reserve_bytes`, "reserve {{instance}}"},
			},
		},
		{
			title: "Removed by retention", unit: "ops",
			description: "History, changes and failed attempts whose retention has ended. Pending and dead-lettered deliveries and the quarantine are never removed by it.",
			queries:     []query{{`sum by (instance) (rate(countersign_relay_retention_removed_total[$__rate_interval]))`, "{{instance}}"}},
		},
	}}
}

func foldRow() row {
	return row{"Fold", []view{
		{
			title: "Records by verdict", unit: "ops", stack: true, alert: "CountersignParkedApprovals",
			description: "All evaluated records. duplicate, stale and superseded change nothing and are normal. parked: an approval after a final rejection. held: an approval after a sanctions or PEP match.",
			queries:     []query{{`sum by (verdict) (rate(countersign_relay_updates_total[$__rate_interval])) > 0`, "{{verdict}}"}},
		},
		{
			title: "Waiting for an operator", unit: "ops", stack: true, alert: "CountersignOverruled",
			description: "parked: approvals that wait after a final rejection. held: approvals that wait because of a match. overruled: rejections and the like that are answered by a later approval of an operator.",
			queries:     []query{{`sum by (verdict) (rate(countersign_relay_updates_total{verdict=~"parked|held|overruled"}[$__rate_interval])) > 0`, "{{verdict}}"}},
		},
		{
			title: "Held by a match", unit: "short", alert: "CountersignApprovalsHeld",
			description: "Persons of whom a sanctions or PEP match stands that nobody has released. Only an operator releases it.",
			queries:     []query{{`sum by (instance, mode) (countersign_relay_subjects_held)`, "{{mode}} {{instance}}"}},
		},
		{
			title: "Status changes", unit: "ops", stack: true,
			description: "Status changes of persons, as partners are told. If the mix changes suddenly, ask compliance.",
			queries:     []query{{`sum by (status) (rate(countersign_relay_status_changes_total[$__rate_interval]))`, "{{status}}"}},
		},
		{
			title: "Evaluation latency", unit: "s",
			description: "One batch of up to 1,000 records, with its commit.",
			queries: []query{
				{quantile("0.5", "countersign_relay_evaluation_seconds"), "p50"},
				{quantile("0.99", "countersign_relay_evaluation_seconds"), "p99"},
			},
		},
		{
			title: "Unrouted records", unit: "none", alert: "CountersignUnroutedRecords",
			description: "Records whose provider ref leads to no known person yet.",
			queries:     []query{{`countersign_relay_unrouted_records`, "{{instance}}"}},
		},
		{
			title: "Unconfirmed claims", unit: "ops", alert: "CountersignUnconfirmedClaims",
			description: "Updates that say approved, suspended or a final rejection on weak evidence. They count as in_review until confirmed.",
			queries:     []query{{`sum by (instance) (rate(countersign_relay_unconfirmed_claims_total[$__rate_interval]))`, "{{instance}}"}},
		},
		{
			title: "Contested refs", unit: "none", alert: "CountersignAmbiguousRef",
			description: "Provider refs that were claimed for two persons. Their updates wait until an operator decides whose they are.",
			queries:     []query{{`countersign_relay_contested_refs`, "{{instance}}"}},
		},
		{
			title: "Submissions", unit: "ops", stack: true,
			description: "Registered refs, by outcome. contested: two persons claim one ref. refused: the ref is in use by another person. too_many: the partner has too many open submissions.",
			queries:     []query{{`sum by (outcome) (rate(countersign_relay_submissions_total[$__rate_interval]))`, "{{outcome}}"}},
		},
		{
			title: "Ambiguous refs", unit: "ops", alert: "CountersignAmbiguousRef",
			description: "Provider refs that were given for two subjects. The gateway does not guess.",
			queries:     []query{{`sum by (instance) (rate(countersign_relay_ambiguous_refs_total[$__rate_interval]))`, "{{instance}}"}},
		},
		{
			title: "Calls that change something", unit: "ops", stack: true,
			description: "Calls of the control API, by result. Many refused calls: a partner's program is broken, or somebody tries to get in. refused_not_recorded are in the log only.",
			queries:     []query{{`sum by (result) (rate(countersign_control_audited_calls_total[$__rate_interval]))`, "{{result}}"}},
		},
		{
			title: "Partners' calls over the rate limit", unit: "ops",
			description: "Writing calls with partners' tokens that were answered 429.",
			queries:     []query{{`sum by (instance) (rate(countersign_control_partner_calls_limited_total[$__rate_interval]))`, "{{instance}}"}},
		},
		{
			title: "Quarantine", unit: "none", alert: "CountersignQuarantineNotEmpty",
			description: "Genuine callbacks, events and answers whose body is kept in quarantine, because it could not be translated in full or may not be applied.",
			queries:     []query{{`countersign_journal_quarantine_items`, "{{instance}}"}},
		},
		{
			title: "Put in quarantine", unit: "ops", stack: true, alert: "CountersignQuarantineGrowing",
			description: "By reason. livemode: a test body at a live source, or the other way round. unknown_word: applied as in_review. unknown_event: a decision under an event name that we do not know (CountersignUnknownEvent). workflow, account: not those that the source names.",
			queries:     []query{{`sum by (reason) (rate(countersign_journal_quarantined_total[$__rate_interval]))`, "{{reason}}"}},
		},
	}}
}

func processRow() row {
	return row{"Process", []view{
		{
			title: "Versions", unit: "none", alert: "CountersignTargetMissing",
			description: "Gateways that are scraped, by version and role.",
			queries:     []query{{`count by (version, role) (countersign_build_info)`, "{{version}} {{role}}"}},
		},
		{
			title: "Uptime", unit: "s", alert: "CountersignRestarting",
			description: "A saw-tooth is a process that restarts again and again.",
			queries:     []query{{`time() - process_start_time_seconds`, "{{instance}}"}},
		},
		{
			title: "Starts", unit: "short", stack: true, alert: "CountersignUncleanStart",
			description: "Starts, by how the previous process ended. unclean: it was killed, lost power, or ended itself after an I/O error. Counted in the database, so none is missed.",
			queries:     []query{{`sum by (instance, ended) (increase(countersign_starts_total[$__rate_interval]))`, "{{ended}} {{instance}}"}},
		},
		{
			title: "Found at the start", unit: "none", alert: "CountersignFileRepaired",
			description: "What the last start found: records not evaluated yet, pending deliveries, and inconsistencies in the database. The gateway goes on with the first two by itself.",
			queries: []query{
				{`countersign_recovery_unevaluated_records`, "not evaluated {{instance}}"},
				{`countersign_recovery_pending_deliveries`, "pending {{instance}}"},
				{`countersign_recovery_problems`, "inconsistent {{instance}}"},
			},
		},
		{
			title: "Check of the database at the start", unit: "s",
			description: "How long the last start checked the database. Callbacks are not accepted during the check. 0: not checked, because the file is large and was closed cleanly.",
			queries:     []query{{`countersign_recovery_check_seconds`, "{{instance}}"}},
		},
		{
			title: "CPU", unit: "percentunit",
			description: "Of one core: 100 % is one core busy.",
			queries:     []query{{`rate(process_cpu_seconds_total[$__rate_interval])`, "{{instance}}"}},
		},
		{
			title: "Memory", unit: "bytes",
			description: "Resident memory contains pages of the database file, which the system can take back. The Go heap belongs to the gateway.",
			queries: []query{
				{`process_resident_memory_bytes`, "resident {{instance}}"},
				{`go_memstats_heap_inuse_bytes`, "heap {{instance}}"},
			},
		},
		{
			title: "Goroutines", unit: "none",
			description: "The number follows connections and attempts in flight. It does not grow with pending deliveries.",
			queries:     []query{{`go_goroutines`, "{{instance}}"}},
		},
		{
			title: "Garbage collection", unit: "s",
			description: "The longest pause of the Go runtime, of the last collections.",
			queries:     []query{{`go_gc_duration_seconds{quantile=~"1|1[.]0"}`, "{{instance}}"}},
		},
		{
			title: "Open files", unit: "percentunit", max: 1, line: 0.8, alert: "CountersignOpenFilesHigh",
			description: "Open files and connections, as part of the limit.",
			queries:     []query{{`process_open_fds / process_max_fds`, "{{instance}}"}},
		},
		{
			title: "Callback connections", unit: "percentunit", max: 1, line: 0.9, alert: "CountersignConnectionsUsedUp",
			description: "Open connections on the callback listener, as part of the maximum. At 100 % the connection that has been idle or slow longest is closed for the next one.",
			queries:     []query{{`countersign_ingest_connections / countersign_ingest_connections_max`, "{{instance}}"}},
		},
		{
			title: "Memory for bodies", unit: "percentunit", max: 1, alert: "CountersignCallbacksCrowded",
			description: "Memory in use for bodies of callbacks, as part of the maximum. At 100 % the slowest bodies are aborted, and then callbacks are answered 503.",
			queries:     []query{{`countersign_ingest_body_bytes / countersign_ingest_body_bytes_max`, "{{instance}}"}},
		},
		{
			title: "Closed to make room", unit: "ops", alert: "CountersignCallbacksCrowded",
			description: "Bodies that were aborted because they were the slowest, and connections that were closed for new ones. all: all connections were in use. address: one address had as many as it may have.",
			queries: []query{
				{`rate(countersign_ingest_bodies_cut_total[$__rate_interval])`, "bodies {{instance}}"},
				{`rate(countersign_ingest_connections_evicted_total[$__rate_interval])`, "connections, {{reason}} {{instance}}"},
			},
		},
		{
			title: "Refused at the control listener", unit: "ops", stack: true, alert: "CountersignWrongTokens",
			description: "token_unknown, token_expired, token_revoked: wrong tokens. too_often: too many wrong tokens from one address. host: called by a name that is missing in listen.control_hosts. scope: the token may not do this. evicted: a slow connection was closed for a new one.",
			queries:     []query{{`sum by (reason) (rate(countersign_control_refused_total[$__rate_interval])) > 0`, "{{reason}}"}},
		},
		{
			title: "Reloads of the config", unit: "short", stack: true, alert: "CountersignConfigNotReloaded",
			description: "By outcome. refused: the file is wrong, or the change needs a restart. The config before stays in use. The log line config_refused names file, line, key and remedy.",
			queries: []query{
				{`sum by (outcome) (increase(countersign_reloads_total[$__rate_interval]))`, "{{outcome}}"},
			},
		},
		{
			title: "Age of the config in use", unit: "s", alert: "CountersignConfigNotReloaded",
			description: "Time since the start, or since the last reload that was applied. It does not say how old the file is.",
			queries:     []query{{`time() - countersign_reload_last_success_timestamp_seconds`, "{{instance}}"}},
		},
		{
			title: "Time since a refused reload", unit: "s", alert: "CountersignConfigNotReloaded",
			description: "Time since the last reload that was refused or failed. Empty: none since the start.",
			queries:     []query{{`time() - (countersign_reload_last_failure_timestamp_seconds > 0)`, "{{instance}}"}},
		},
		{
			title: "Spans of traces", unit: "ops", stack: true,
			description: "By outcome; empty without tracing in the config. dropped: the collector is too slow, so lower tracing.sample. failed: the collector refuses them; the log line tracing_trouble says why. Callbacks and deliveries are not affected.",
			queries:     []query{{`sum by (outcome) (rate(countersign_tracing_spans_total[$__rate_interval]))`, "{{outcome}}"}},
		},
		{
			title: "Lost log lines", unit: "ops",
			description: "Lines lost because a write failed or the reader was too slow, and failed writes. When writing works again, the line log_lines_missing says how many were lost.",
			queries: []query{
				{`rate(countersign_log_lines_lost_total[$__rate_interval])`, "lines {{instance}}"},
				{`rate(countersign_log_write_errors_total[$__rate_interval])`, "failed writes {{instance}}"},
			},
		},
	}}
}
