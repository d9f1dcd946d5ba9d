// Package brokers lets brokers judge how records are put on Kafka: kfake's, in this process, read
// back with another client library than ours. It is a module of its own, so that neither becomes a
// dependency of the product. What only replication can show is not here: kfake keeps one copy.
package brokers
