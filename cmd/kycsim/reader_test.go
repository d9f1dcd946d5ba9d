//go:build realkafka

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"countersign/ingest/forward/brokers/cluster"
)

// producer writes updates and changes as a gateway would, with a plain client.
type producer struct {
	t      *testing.T
	client *kgo.Client
	w      *topicWriting
	n      int
}

// produce sends one event of each of some persons, and writes down in the ledgers that it was fired
// and delivered.
func (p *producer) produce(ctx context.Context, persons int) {
	p.t.Helper()
	status := []string{"approved", "rejected"}[p.n%2]
	var records []*kgo.Record
	for i := range persons {
		subject := fmt.Sprintf("p%d", i)
		p.w.sends(subject, p.n, status, true)
		p.w.later(time.Millisecond)
		id := fmt.Sprintf("evt_%s-%d", subject, p.n)
		p.w.arrives(subject, uint64(p.n)+1, status, func(r *receivedLine) { r.ID = id })
		at := time.UnixMilli(int64(1000 + p.n)).UTC().Format(time.RFC3339Nano)
		common := fmt.Sprintf(`"partner":"acme","subject":{"id":%q},"status":%q,"occurred_at":%q`, subject, status, at)
		records = append(records,
			p.record(topicUpdates, subject, fmt.Sprintf("u-%s-%d", subject, p.n), "kyc.update.observation", at, `"kind":"observation","body_sha256":"`+bodyOf(subject, p.n)+`00",`+common),
			p.record(topicChanges, subject, id, "kyc.status."+status, at, fmt.Sprintf(`"type":"kyc.status.%s","sequence":%d,%s`, status, p.n+1, common)))
	}
	if err := p.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		p.t.Fatal(err)
	}
	p.n++
}

func (p *producer) record(topic, subject, id, kind, at, fields string) *kgo.Record {
	r := &kgo.Record{Topic: topic, Key: []byte("acme/" + subject), Value: []byte(`{"id":"` + id + `",` + fields + `}`)}
	for _, h := range [][2]string{
		{"ce_specversion", "1.0"},
		{"ce_id", id},
		{"ce_type", kind},
		{"ce_source", "/sources/s"},
		{"ce_time", at},
		{"ce_subject", "acme/" + subject},
		{"content-type", "application/json"},
	} {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
	}
	return r
}

// TestReader reads what a plain client writes while the leader is killed and comes back, and judges
// it: nothing is wrong. Then it is read once more by the command.
func TestReader(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	k, err := cluster.Start(ctx, cluster.Options{Nodes: 3, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := k.Stop(); err != nil {
			t.Error(err)
		}
	}()
	w := newTopicWriting(t)
	r, err := startReader(readerOptions{Brokers: k.Addrs(), Ledger: w.read}) // before there are topics
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(clientOptions(k.Addrs())...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	made, err := kadm.NewClient(client).CreateTopics(ctx, 4, 3, nil, topicNames...)
	if err != nil || made.Error() != nil {
		t.Fatal(err, made.Error())
	}
	run := &chaosRun{p: &plan{nodes: 3}, kafka: k, reader: r}
	p := &producer{t: t, client: client, w: w}
	p.produce(ctx, 100)
	leader, err := run.leaderOf(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := run.killBrokers(leader); err != nil {
		t.Fatal(err)
	}
	p.produce(ctx, 100)
	if after := run.electedAfter(ctx, began, leader); after == 0 {
		t.Error("nobody was elected")
	}
	if err := run.startBrokers(ctx, leader); err != nil {
		t.Fatal(err)
	}
	p.produce(ctx, 100)
	if err := r.caughtUp(ctx, time.Minute); err != nil {
		t.Error(err)
	}
	if problems := r.close(); len(problems) > 0 {
		t.Error(problems)
	}
	v := w.judgeTopics()
	if v.faults() > 0 || v.Updates.Distinct != 300 || v.Changes.Distinct != 300 || v.Acked != 300 {
		t.Errorf("%+v", v)
	}
	readAgain(t, k, w)
}

// readAgain reads the topics with `kycsim topics` and judges them with `kycsim judge`.
func readAgain(t *testing.T, k *cluster.Cluster, w *topicWriting) {
	t.Helper()
	again := filepath.Join(t.TempDir(), "again.jsonl")
	var out, errs bytes.Buffer
	if code := run([]string{"topics", "--brokers", strings.Join(k.Addrs(), ","), "--ledger", again, "--once"}, &out, &errs); code != 0 {
		t.Fatalf("topics: exit %d: %s%s", code, out.String(), errs.String())
	}
	code := run([]string{"judge", "--fired", w.o.Fired[0], "--received", w.o.Received[0], "--topics", again, "--json"}, &out, &errs)
	var found struct{ Topics topicFindings }
	if err := json.Unmarshal(out.Bytes()[bytes.IndexByte(out.Bytes(), '{'):], &found); err != nil || code != 0 || found.Topics.Updates.Distinct != 300 {
		t.Errorf("judge: exit %d, %v: %s%s", code, err, out.String(), errs.String())
	}
}
