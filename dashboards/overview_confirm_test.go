package dashboards

func confirmRow() row {
	return row{"Confirmations and time", []view{
		{
			title: "Asked, by outcome", unit: "ops", stack: true, alert: "CountersignConfirmationRefused",
			description: "What came of asking a provider's API. unsettled: the provider is still at work. no_credentials: the source has none. refused: 401 or 403. given_up: the provider knows nothing of what an unproved callback named. Whatever else is not answered is asked again, each hour at the latest.",
			queries:     []query{{`sum by (source, outcome) (rate(countersign_confirm_questions_total{source=~"$source"}[$__rate_interval])) > 0`, "{{source}} {{outcome}}"}},
		},
		{
			title: "Open questions, by source", unit: "none", alert: "CountersignQuestionsFull",
			description: "What a provider has still to be asked. Somebody's decision hangs on each; a source that grows is one whose provider does not answer. unproved: raised by callbacks that proved nothing of who sent them, which are refused at the source's api.questions.",
			queries: []query{
				{`sum by (source) (countersign_journal_open_questions{source=~"$source"})`, "{{source}}"},
				{`sum by (source) (countersign_journal_open_unproved_questions{source=~"$source"}) > 0`, "{{source}} unproved"},
			},
		},
		{
			title: "Oldest open question", unit: "s", line: 86400, alert: "CountersignConfirmationOverdue",
			description: "Since when the longest open question waits; empty when none is open. After seven days somebody is woken.",
			queries:     []query{{`time() - (countersign_confirm_oldest_question_timestamp_seconds > 0)`, "{{instance}}"}},
		},
		{
			title: "Latency of a provider's API", unit: "s",
			description: "One call, failures and time-outs included. It delays the questions of its own source only.",
			queries: []query{
				{quantile("0.5", "countersign_confirm_call_seconds"), "p50"},
				{quantile("0.99", "countersign_confirm_call_seconds"), "p99"},
			},
		},
		{
			title: "Look-ups of published keys", unit: "ops", stack: true, alert: "CountersignPublishedKeyMissing",
			description: "Keys that callbacks name and a provider publishes. none: there is no such key, or it was ended. failed: the provider could not be asked. put_off: too many unknown names at once, which is somebody who makes them up; known keys are not among them.",
			queries:     []query{{`sum by (source, outcome) (rate(countersign_confirm_key_lookups_total{source=~"$source"}[$__rate_interval])) > 0`, "{{source}} {{outcome}}"}},
		},
		{
			title: "Sources that can ask", unit: "none", max: 1, alert: "CountersignConfirmationCannotAsk",
			description: "1: the source has credentials for its provider's API. 0: its questions can only wait. Sources whose provider has no such API are not shown.",
			queries:     []query{{`min by (source) (countersign_confirm_source_can_ask{source=~"$source"})`, "{{source}}"}},
		},
		{
			title: "Streams that are open", unit: "none", max: 1, alert: "CountersignStreamDown",
			description: "1 while a source that follows its provider's stream of events is connected. What comes meanwhile is read later, from where the stream was left.",
			queries:     []query{{`min by (source) (countersign_stream_connected{source=~"$source"})`, "{{source}}"}},
		},
		{
			title: "Events of streams", unit: "ops", stack: true,
			description: "What became of each event, and why connections ended or were not made.",
			queries: []query{
				{`sum by (source, outcome) (rate(countersign_stream_events_total{source=~"$source"}[$__rate_interval])) > 0`, "{{source}} {{outcome}}"},
				{`sum by (source, outcome) (rate(countersign_stream_connections_total{source=~"$source"}[$__rate_interval])) > 0`, "{{source}} ended: {{outcome}}"},
			},
		},
		{
			title: "Last event of a stream", unit: "s",
			description: "How long ago; empty: none since the start. A stream may be quiet for long, and says so by being open.",
			queries:     []query{{`time() - (countersign_stream_last_event_timestamp_seconds{source=~"$source"} > 0)`, "{{source}}"}},
		},
		{
			title: "Faults that providers report", unit: "ops", alert: "CountersignProviderFault",
			description: "Genuine callbacks that say nothing of a person but that the integration is broken: a request the provider could not read, a workflow that failed.",
			queries:     []query{{`sum by (source) (rate(countersign_ingest_provider_faults_total{source=~"$source"}[$__rate_interval]))`, "{{source}}"}},
		},
		{
			title: "Timers fired", unit: "ops", stack: true,
			description: "notice: an approval is about to end. expiry: it has ended. attempt: one that was begun has lapsed. refused: groups that the journal did not take; they are tried again.",
			queries: []query{
				{`sum by (kind) (rate(countersign_relay_timers_fired_total[$__rate_interval]))`, "{{kind}}"},
				{`sum(rate(countersign_relay_timers_refused_total[$__rate_interval]))`, "refused"},
			},
		},
		{
			title: "Lateness of timers", unit: "s", line: 60, alert: "CountersignTimersLate",
			description: "How long after its instant a timer was written down, and how long the earliest one that was not has been due. After a start it is as long as the gateway was down.",
			queries: []query{
				{quantile("0.5", "countersign_relay_timer_lateness_seconds"), "p50"},
				{quantile("0.9", "countersign_relay_timer_lateness_seconds", "instance"), "p90 {{instance}}"},
				{`clamp_min(time() - (countersign_relay_timer_next_timestamp_seconds > 0), 0)`, "overdue {{instance}}"},
			},
		},
		{
			title: "Until the next timer", unit: "s",
			description: "How long until time itself changes somebody's status, or tells that it is about to. Empty: nobody's status has an end.",
			queries:     []query{{`clamp_min((countersign_relay_timer_next_timestamp_seconds > 0) - time(), 0)`, "{{instance}}"}},
		},
	}}
}
