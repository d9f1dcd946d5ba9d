package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"countersign/ingest/forward"
	"countersign/ingest/journal"
	"countersign/kyc"
)

// withKafka adds a block to a config. Brokers answer in the module ingest/forward/brokers; here
// nobody does.
func withKafka(t *testing.T, config, block string) {
	t.Helper()
	f, err := os.OpenFile(config, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(f, "\n"+block+"\n"); err != nil || f.Close() != nil {
		t.Fatal(err)
	}
}

func readyz(t *testing.T, g *gateway) (code int, text string) {
	t.Helper()
	resp, err := http.Get("http://" + g.control.Addr().String() + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// (I1) With ack: disk an outage of Kafka, from the start on, refuses no callback and is no reason
// not to be ready; what waits is kept over a restart, and said.
func TestKafkaOutage(t *testing.T) {
	partner := newHook(t, func() int { return http.StatusOK })
	_, config := house(t, partner.url)
	broker := freeAddr(t)
	withKafka(t, config, "kafka: {brokers: ["+broker+"]}")
	g := start(t, config)
	if code, out, errs := cli(t, nil, "trigger", "--config", config, "sumsub-eu", "approved"); code != exitYes {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	eventually(t, "the partner is told", func() bool { return partner.told("user-001", "approved") })
	eventually(t, "trouble is known", func() bool { return g.updates.Status().Trouble != nil })
	code, text := readyz(t, g)
	if code != http.StatusOK || !strings.Contains(text, broker) || !strings.Contains(text, forward.UpdatesTopic+": 1 record(s) wait") || strings.Contains(text, "reasons") {
		t.Errorf("/readyz: %d %s", code, text)
	}
	waits := func(g *gateway) bool {
		u, c := g.updates.Status(), g.changes.Status()
		return u.Waiting == 1 && c.Waiting == 2 && !u.Since.IsZero() && !c.Since.IsZero() && g.journal.Backlog() == 1
	}
	eventually(t, "the relay has passed it", func() bool { return g.relay.Position() == journal.At(1) })
	if !waits(g) {
		t.Errorf("%+v %+v, backlog %d", g.updates.Status(), g.changes.Status(), g.journal.Backlog())
	}
	if err := g.close(); err != nil {
		t.Fatal(err)
	}
	if g = start(t, config); !waits(g) {
		t.Errorf("after a restart: %+v %+v", g.updates.Status(), g.changes.Status())
	}
}

// With ack: kafka a callback that Kafka cannot acknowledge is answered 503, and nothing of it is
// written.
func TestKafkaAcknowledges(t *testing.T) {
	_, config := house(t, newHook(t, func() int { return http.StatusOK }).url)
	withKafka(t, config, "kafka: {brokers: ["+freeAddr(t)+"], ack: kafka}")
	g := start(t, config)
	code, out, errs := cli(t, nil, "trigger", "--config", config, "sumsub-eu", "approved")
	if code != exitNo || !strings.Contains(out, "503") || g.journal.Backlog() != 0 {
		t.Errorf("exit %d, backlog %d\n%s%s", code, g.journal.Backlog(), out, errs)
	}
}

// check connects, and says in one sentence what is wrong; offline it does not.
func TestCheckConnects(t *testing.T) {
	_, config := house(t, "http://127.0.0.1:1/")
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer web.Close()
	go func() {
		for {
			c, err := web.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			defer c.Close()
		}
	}()
	withKafka(t, config, "kafka: {brokers: ["+web.Addr().String()+"]}")
	code, out, _ := cli(t, nil, "check", "--config", config)
	if code != exitNo || !strings.Contains(out, "is in order") || !strings.Contains(out, "not Kafka") || strings.Count(out, "kafka:") != 1 {
		t.Errorf("exit %d\n%s", code, out)
	}
	if code, out, _ := cli(t, nil, "check", "--json", "--config", config); code != exitNo || !strings.Contains(out, `"ok":false`) || !strings.Contains(out, `"key":"kafka"`) {
		t.Errorf("exit %d\n%s", code, out)
	}
	if code, out, _ := cli(t, nil, "check", "--offline", "--config", config); code != exitYes {
		t.Errorf("exit %d\n%s", code, out)
	}
}

// What was too large for Kafka can be given to the journal again, if it is an update.
func TestReleaseRecord(t *testing.T) {
	u := kyc.Update{SchemaVersion: 1, ID: "01J", Kind: kyc.Confirmation, Source: "jumio"}
	now := time.Now()
	item := journal.Item{Reason: journal.Oversized, Headers: map[string][]string{"Topic": {forward.UpdatesTopic}}, Body: u.AppendJSON(nil)}
	rs, err := releaseRecord(item, now)
	if err != nil || len(rs) != 1 || rs[0].Kind != kyc.Confirmation || rs[0].Update.ID != "01J" || string(rs[0].Body) != string(item.Body) || rs[0].Appended.IsZero() {
		t.Errorf("%+v, %v", rs, err)
	}
	item.Headers["Topic"][0] = forward.ChangesTopic
	if _, err := releaseRecord(item, now); err == nil || !strings.Contains(err.Error(), "discard") {
		t.Errorf("a change was released: %v", err)
	}
}

// What a person's records are kept together by is what the relay will know the person by.
func TestKafkaKeys(t *testing.T) {
	partner := newHook(t, func() int { return http.StatusOK })
	_, config := house(t, partner.url)
	g := start(t, config)
	keys := g.keys()
	if is := keys.Subject("acme", "user-001"); is != "acme/user-001" {
		t.Errorf("a person: %q", is)
	}
	u := kyc.Update{Provider: "alloy", Subject: kyc.Subject{ProviderRef: "entity"}, Verification: kyc.Verification{Ref: "evaluation"}}
	if is := keys.Ref(&u); is != "entity" {
		t.Errorf("a ref of a provider that gives an entity to one person: %q", is)
	}
	u.Provider = "didit"
	if is := keys.Ref(&u); is != "evaluation" {
		t.Errorf("a ref of a provider that gives a session to one person: %q", is)
	}
}
