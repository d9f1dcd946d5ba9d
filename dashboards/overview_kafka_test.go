package dashboards

func kafkaRow() row {
	return row{"Kafka", []view{
		{
			title: "Forwarded, by topic", unit: "ops", alert: "CountersignForwardStopped",
			description: "Records that all in-sync replicas have. This row is empty where the config has no kafka block.",
			queries:     []query{{`sum by (topic) (rate(countersign_forward_records_total[$__rate_interval]))`, "{{topic}}"}},
		},
		{
			title: "Not yet on Kafka", unit: "none",
			description: "Records that wait for Kafka. They stay in the journal meanwhile, and count in its backlog.",
			queries:     []query{{`countersign_forward_lag_records`, "{{topic}} {{instance}}"}},
		},
		{
			title: "Oldest record not yet on Kafka", unit: "s", line: 60, alert: "CountersignForwardLagging",
			description: "How long ago it was taken in; 0: none waits. That is how late the readers of the topic are. After fifteen minutes somebody is woken.",
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
			description: "Why Kafka did not take what it was sent. tls, auth, denied, not_kafka and topic stay until somebody changes a setting; the others are tried again, and a few of them are normal while brokers restart.",
			queries:     []query{{`sum by (topic, class) (rate(countersign_forward_errors_total[$__rate_interval])) > 0`, "{{topic}} {{class}}"}},
		},
		{
			title: "Connections to brokers, and topics that are stopped", unit: "none",
			description: "Open connections of each gateway; and 1 for a topic to which nothing is sent until somebody changes a setting. /readyz says which.",
			queries: []query{
				{`countersign_kafka_connections`, "connections {{instance}}"},
				{`countersign_forward_stopped`, "stopped: {{topic}} {{instance}}"},
			},
		},
	}}
}
