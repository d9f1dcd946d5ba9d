package dashboards

func confirmRow() row {
	return row{"Confirmations and time", []view{
		{
			title: "Asked, by outcome", unit: "ops", stack: true, alert: "CountersignConfirmationRefused",
			description: "Questions to a provider's API. unsettled: the provider has not decided yet. no_credentials: the source has none. refused: 401 or 403. given_up: the provider does not know what an unauthenticated callback named. Other questions are asked again, at least once per hour.",
			queries:     []query{{`sum by (source, outcome) (rate(countersign_confirm_questions_total{source=~"$source"}[$__rate_interval])) > 0`, "{{source}} {{outcome}}"}},
		},
		{
			title: "Open questions, by source", unit: "none", alert: "CountersignQuestionsFull",
			description: "Questions that a provider has not answered yet. A person's decision depends on each. If the number grows, the provider does not answer. unauthenticated: raised by callbacks whose sender was not authenticated; at the limit (api.questions of the source) such callbacks are refused.",
			queries: []query{
				{`sum by (source) (countersign_journal_open_questions{source=~"$source"})`, "{{source}}"},
				{`sum by (source) (countersign_journal_open_unauthenticated_questions{source=~"$source"}) > 0`, "{{source}} unauthenticated"},
			},
		},
		{
			title: "Oldest open question", unit: "s", line: 86400, alert: "CountersignConfirmationOverdue",
			description: "Age of the oldest open question; empty: none is open. After one day there is a warning, after seven days a page.",
			queries:     []query{{`time() - (countersign_confirm_oldest_question_timestamp_seconds > 0)`, "{{instance}}"}},
		},
		{
			title: "Latency of a provider's API", unit: "s",
			description: "One call, failures and time-outs included. A slow API delays only the questions of its own source.",
			queries: []query{
				{quantile("0.5", "countersign_confirm_call_seconds"), "p50"},
				{quantile("0.99", "countersign_confirm_call_seconds"), "p99"},
			},
		},
		{
			title: "Look-ups of published keys", unit: "ops", stack: true, alert: "CountersignPublishedKeyMissing",
			description: "Look-ups of keys that a provider publishes. none: there is no such key, or it was revoked. failed: the provider could not be asked. deferred: too many unknown key ids at once; somebody invents them. Known keys are not affected.",
			queries:     []query{{`sum by (source, outcome) (rate(countersign_confirm_key_lookups_total{source=~"$source"}[$__rate_interval])) > 0`, "{{source}} {{outcome}}"}},
		},
		{
			title: "Sources with API credentials", unit: "none", max: 1, alert: "CountersignConfirmationCannotAsk",
			description: "1: the source has credentials for its provider's API. 0: its questions wait. Sources whose provider has no such API are not shown.",
			queries:     []query{{`min by (source) (countersign_confirm_source_can_ask{source=~"$source"})`, "{{source}}"}},
		},
		{
			title: "Open streams", unit: "none", max: 1, alert: "CountersignStreamDown",
			description: "1 while the event stream of a source is connected. Events that are missed meanwhile are read later, from where the stream stopped.",
			queries:     []query{{`min by (source) (countersign_stream_connected{source=~"$source"})`, "{{source}}"}},
		},
		{
			title: "Events of streams", unit: "ops", stack: true,
			description: "Events by outcome, and why connections ended or failed.",
			queries: []query{
				{`sum by (source, outcome) (rate(countersign_stream_events_total{source=~"$source"}[$__rate_interval])) > 0`, "{{source}} {{outcome}}"},
				{`sum by (source, outcome) (rate(countersign_stream_connections_total{source=~"$source"}[$__rate_interval])) > 0`, "{{source}} ended: {{outcome}}"},
			},
		},
		{
			title: "Last event of a stream", unit: "s",
			description: "Time since the last event; empty: none since the start. A stream can be quiet for a long time and still be open.",
			queries:     []query{{`time() - (countersign_stream_last_event_timestamp_seconds{source=~"$source"} > 0)`, "{{source}}"}},
		},
		{
			title: "Faults reported by providers", unit: "ops", alert: "CountersignProviderFault",
			description: "Genuine callbacks that report a broken integration and no status: a request that the provider could not read, a workflow that failed.",
			queries:     []query{{`sum by (source) (rate(countersign_ingest_provider_faults_total{source=~"$source"}[$__rate_interval]))`, "{{source}}"}},
		},
		{
			title: "Timers fired", unit: "ops", stack: true,
			description: "notice: an approval is about to expire. expiry: it has expired. attempt: a verification that was started has lapsed. refused: groups that the journal did not accept; they are tried again.",
			queries: []query{
				{`sum by (kind) (rate(countersign_relay_timers_fired_total[$__rate_interval]))`, "{{kind}}"},
				{`sum(rate(countersign_relay_timers_refused_total[$__rate_interval]))`, "refused"},
			},
		},
		{
			title: "Lateness of timers", unit: "s", line: 60, alert: "CountersignTimersLate",
			description: "How long after its due time a timer fired, and how long the next one is overdue. After a start it shows how long the gateway was down.",
			queries: []query{
				{quantile("0.5", "countersign_relay_timer_lateness_seconds"), "p50"},
				{quantile("0.9", "countersign_relay_timer_lateness_seconds", "instance"), "p90 {{instance}}"},
				{`clamp_min(time() - (countersign_relay_timer_next_timestamp_seconds > 0), 0)`, "overdue {{instance}}"},
			},
		},
		{
			title: "Until the next timer", unit: "s",
			description: "Time until the next status expires, or the next notice about it is sent. Empty: no status has an end.",
			queries:     []query{{`clamp_min((countersign_relay_timer_next_timestamp_seconds > 0) - time(), 0)`, "{{instance}}"}},
		},
	}}
}
