package dashboards

// glanceRow is what somebody looks at first: is anything red?
func glanceRow() row {
	stat := func(title, unit, alert, description, expr string, steps []step) view {
		return view{title: title, unit: unit, alert: alert, description: description, queries: []query{{expr, title}}, kind: "stat", steps: steps, w: 3, h: 4}
	}
	return row{"At a glance", []view{
		stat("Gateways", "none", "CountersignTargetMissing", "Gateways that are scraped.", `count(countersign_build_info) or vector(0)`, falling(1)),
		stat("Callbacks in", "reqps", "", "Genuine callbacks answered 200, per second.",
			`sum(rate(countersign_ingest_callbacks_total{source=~"$source",verdict=~"accepted|ignored|quarantined|handshake"}[$__rate_interval]))`, plain()),
		stat("Late or refused", "percentunit", "CountersignCallbackSLOBurn", "Of the genuine callbacks of the last hour: answered after more than one second, or refused by us. Allowed: one in a thousand. Empty if the rules are not loaded.",
			`max(countersign:callbacks_bad:ratio_rate1h)`, rising(0, 0.001)),
		stat("Late deliveries", "percentunit", "CountersignDeliverySLOBurn", "Part of the last hour in which a delivery to a healthy endpoint was late. Allowed: half a per cent. Empty if the rules are not loaded.",
			`max(countersign:endpoints_late:ratio1h)`, rising(0, 0.005)),
		stat("Delivered", "ops", "", "Webhooks that partners accepted, per second.",
			`sum(rate(countersign_relay_attempts_total{endpoint=~"$endpoint",outcome="done"}[$__rate_interval]))`, plain()),
		stat("Pending", "none", "", "Deliveries that are not accepted yet.", `sum(countersign_outbox_pending_deliveries{endpoint=~"$endpoint"})`, plain()),
		stat("Oldest due", "s", "CountersignDeliveryOldestDue", "How long the first due delivery has been due without an attempt.", `max(countersign_outbox_oldest_due_seconds{endpoint=~"$endpoint"})`, rising(300, 0)),
		stat("Oldest pending", "s", "CountersignDeliveryPendingLong", "Age of the oldest pending delivery, whatever the reason.", `max(countersign_outbox_oldest_pending_seconds{endpoint=~"$endpoint"})`, rising(21600, 0)),
		stat("Undelivered rejection", "s", "CountersignRejectionWithheld", "Age of the oldest rejection or suspension that a partner has not accepted.", `max(countersign_outbox_oldest_withheld_rejection_seconds)`, rising(0, 900)),
		stat("Endpoints disabled", "none", "CountersignEndpointDisabled", "Nothing is sent to them.", `sum(countersign_relay_endpoint_disabled{endpoint=~"$endpoint"})`, rising(0, 1)),
		stat("Dead-lettered", "none", "CountersignDeadLettered", "Deliveries that are not retried any more. They are kept until an operator redelivers them.", `sum(countersign_outbox_dead_lettered_deliveries{endpoint=~"$endpoint"})`, plain()),
		stat("Quarantine", "none", "CountersignQuarantineNotEmpty", "Genuine callbacks that could not be translated in full.", `sum(countersign_journal_quarantine_items)`, rising(1, 0)),
		stat("Journal in use", "percentunit", "CountersignJournalBacklogHigh", "At 100 % new callbacks are answered 503.", `max(countersign_journal_backlog_records / countersign_journal_backlog_max_records)`, rising(0, 0.5)),
		stat("Storage in use", "percentunit", "CountersignStorageNearlyFull", "Of storage.max_size. When it is full, new callbacks are refused.",
			`max((countersign_store_file_bytes - countersign_store_free_page_bytes) / countersign_store_max_bytes)`, rising(0.8, 0)),
		stat("Storage full", "none", "CountersignStorageFull", "1: new callbacks are refused, and deliveries go on.", `max(countersign_store_short)`, rising(0, 1)),
		stat("Kafka behind", "s", "CountersignForwardLagging", "Age of the oldest record that is not on Kafka. Empty without a kafka block.", `max(countersign_forward_lag_seconds)`, rising(60, 900)),
	}}
}

// tablesRow is each endpoint and each source in one line.
func tablesRow() row {
	endpoint := func(expr string) query { return query{"sum by (endpoint) (" + expr + ")", "endpoint"} }
	source := func(expr string) query { return query{"sum by (source) (" + expr + ")", "source"} }
	return row{"Endpoints and sources", []view{
		{
			title: "Endpoints", unit: "Endpoint", kind: "table", w: 24, h: 10,
			description: "One line for each endpoint. Breaker: 0 closed, 1 half-open, 2 open. Click an endpoint to see only that one.",
			queries: []query{
				endpoint(`countersign_outbox_pending_deliveries{endpoint=~"$endpoint"}`),
				endpoint(`countersign_outbox_oldest_pending_seconds{endpoint=~"$endpoint"}`),
				endpoint(`countersign_outbox_oldest_due_seconds{endpoint=~"$endpoint"}`),
				endpoint(`countersign_outbox_oldest_withheld_rejection_seconds{endpoint=~"$endpoint"}`),
				endpoint(`countersign_outbox_dead_lettered_deliveries{endpoint=~"$endpoint"}`),
				{`sum by (endpoint) (rate(countersign_relay_attempts_total{endpoint=~"$endpoint",outcome!="done"}[$__rate_interval])) / sum by (endpoint) (rate(countersign_relay_attempts_total{endpoint=~"$endpoint"}[$__rate_interval]))`, "endpoint"},
				{`sum by (endpoint) (rate(countersign_relay_endpoint_attempt_seconds_sum{endpoint=~"$endpoint"}[$__rate_interval])) / sum by (endpoint) (rate(countersign_relay_endpoint_attempt_seconds_count{endpoint=~"$endpoint"}[$__rate_interval]))`, "endpoint"},
				{`max by (endpoint) (countersign_relay_endpoint_breaker{endpoint=~"$endpoint"})`, "endpoint"},
				{`max by (endpoint) (countersign_relay_endpoint_disabled{endpoint=~"$endpoint"})`, "endpoint"},
				{`max by (endpoint) (countersign_relay_endpoint_paused{endpoint=~"$endpoint"})`, "endpoint"},
			},
			columns: []column{
				{"Pending", "none", nil},
				{"Oldest pending", "s", rising(21600, 0)},
				{"Oldest due", "s", rising(300, 0)},
				{"Undelivered rejection", "s", rising(0, 900)},
				{"Dead-lettered", "none", nil},
				{"Failing", "percentunit", rising(0.5, 0)},
				{"Mean latency", "s", nil},
				{"Breaker", "none", rising(2, 0)},
				{"Disabled", "none", rising(0, 1)},
				{"Paused", "none", rising(1, 0)},
			},
		},
		{
			title: "Sources", unit: "Source", kind: "table", w: 24, h: 8,
			description: "One line for each source: callbacks accepted and refused per second, and open questions to its provider's API.",
			queries: []query{
				source(`rate(countersign_ingest_callbacks_total{source=~"$source",verdict=~"accepted|ignored|quarantined|handshake"}[$__rate_interval])`),
				source(`rate(countersign_ingest_callbacks_total{source=~"$source",verdict!~"accepted|ignored|quarantined|handshake"}[$__rate_interval])`),
				source(`countersign_journal_open_questions{source=~"$source"}`),
			},
			columns: []column{{"Accepted", "reqps", nil}, {"Refused", "reqps", nil}, {"Open questions", "none", nil}},
		},
	}}
}

// heatmapsRow is how long things take, and how that is spread.
func heatmapsRow() row {
	heat := func(title, alert, description, metric string) view {
		return view{title: title, unit: "s", alert: alert, description: description, kind: "heatmap", queries: []query{{spread(metric), "{{le}}"}}, w: 12}
	}
	return row{"How long it takes", []view{
		heat("Callbacks answered", "CountersignCallbackSLOBurn", "From a callback's headers to our answer. Promised: one second.", "countersign_ingest_callback_seconds"),
		heat("Callback to partner, spread", "", "From the receipt of a callback to the partner's 2xx. A second cloud far above the first one shows retries.", "countersign_relay_end_to_end_seconds"),
		heat("Attempts at partners", "", "One request to a partner, failures and time-outs included.", "countersign_relay_attempt_seconds"),
		heat("Commits", "CountersignCommitSlow", "One group commit, with both flushes. It shows how fast the disk is.", "countersign_store_commit_seconds"),
	}}
}
