package dashboards

func kafkaRow() row {
	return row{"Kafka", []view{
		{
			title: "Forwarded, by topic", unit: "ops", alert: "CountersignForwardStopped",
			description: "Records that all in-sync replicas have. This row is empty if the config has no kafka block.",
			queries:     []query{{`sum by (topic) (rate(countersign_forward_records_total[$__rate_interval]))`, "{{topic}}"}},
		},
		{
			title: "Not yet on Kafka", unit: "none",
			description: "Records that wait for Kafka. They stay in the journal and count in its backlog.",
			queries:     []query{{`countersign_forward_lag_records`, "{{topic}} {{instance}}"}},
		},
		{
			title: "Oldest record not yet on Kafka", unit: "s", line: 60, alert: "CountersignForwardLagging",
			description: "Age of the oldest record that waits for Kafka; 0: none waits. Readers of the topic are that late. Above one minute there is a warning, above fifteen minutes a page.",
			queries:     []query{{`countersign_forward_lag_seconds`, "{{topic}} {{instance}}"}},
		},
		{
			title: "Latency of Kafka", unit: "s",
			description: "From a request to the acknowledgement of all in-sync replicas. With ack: kafka every callback waits for one.",
			queries: []query{
				{quantile("0.5", "countersign_forward_produce_seconds", "topic"), "p50 {{topic}}"},
				{quantile("0.99", "countersign_forward_produce_seconds", "topic"), "p99 {{topic}}"},
			},
		},
		{
			title: "Not acknowledged, by class", unit: "ops", stack: true,
			description: "Why Kafka did not accept records. tls, auth, denied, not_kafka and topic stay until a setting is changed. The others are tried again; a few of them are normal while brokers restart.",
			queries:     []query{{`sum by (topic, class) (rate(countersign_forward_errors_total[$__rate_interval])) > 0`, "{{topic}} {{class}}"}},
		},
		{
			title: "Connections to brokers, and stopped topics", unit: "none",
			description: "Open connections of each gateway, and 1 for a topic that is stopped until a setting is changed. /readyz says which.",
			queries: []query{
				{`countersign_kafka_connections`, "connections {{instance}}"},
				{`countersign_forward_stopped`, "stopped: {{topic}} {{instance}}"},
			},
		},
	}}
}
