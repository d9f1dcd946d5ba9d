package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"

	"countersign/ingest/forward"
)

// TestSettings holds what a default of the client library would make slow, leaky or lossy.
func TestSettings(t *testing.T) {
	c, err := New(Options{
		Brokers: []string{"127.0.0.1:1", "kafka.example"}, Topics: []string{"kyc.status-updates"},
		TLS: &TLS{}, SASL: &SASL{Mechanism: "scram-sha-512", User: "cs", Password: func() string { return "canary" }},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f := func(what string, ok bool) {
		t.Helper()
		if !ok {
			t.Error(what)
		}
	}
	tr := c.transport
	f("a change of leaders is seen late", tr.MetadataTTL > 0 && tr.MetadataTTL <= time.Second)
	f("all topics of the cluster are fetched", len(tr.MetadataTopics) == 1 && tr.MetadataTopics[0] == "kyc.status-updates")
	f("connections are not counted", tr.Dial != nil)
	f("the handshake is not ours", tr.TLS == nil && c.dialer.tls != nil)
	f("TLS is too old", c.dialer.tls.MinVersion >= 0x0303 && !c.dialer.tls.InsecureSkipVerify)
	f("connecting may take long", tr.DialTimeout > 0 && tr.DialTimeout <= 3*time.Second && c.dialer.net.Timeout <= 3*time.Second)
	f("idle connections stay", tr.IdleTimeout > 0 && tr.IdleTimeout <= 30*time.Second)
	f("the client has no name", tr.ClientID == "countersign")
	f("no user", tr.SASL.Name() == "SCRAM-SHA-512")
	f("the default transport is used", kafkago.RoundTripper(tr) != kafkago.DefaultTransport)
	f("a port is missing", strings.Join(c.brokers, " ") == "127.0.0.1:1 kafka.example:9092")
	f("acks are fewer than all", acks == -1)
	f("a leader waits longer than we do", replicaTimeout < sendTimeout)
	f("the password prints", !strings.Contains(fmt.Sprintf("%v %+v %#v", c.o, c.sasl, c.o.SASL), "canary"))
}

// TestNew: what is wrong in the settings is told with the setting's name.
func TestNew(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.pem")
	f := func(want string, o Options) {
		t.Helper()
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	brokers := []string{"127.0.0.1:1"}
	f("kafka.brokers", Options{})
	f("kafka.tls.ca", Options{Brokers: brokers, TLS: &TLS{CAFile: missing}})
	f("kafka.tls.cert", Options{Brokers: brokers, TLS: &TLS{CertFile: missing, KeyFile: missing}})
	f("kafka.sasl.mechanism", Options{Brokers: brokers, SASL: &SASL{Mechanism: "gssapi", User: "cs", Password: func() string { return "" }}})
	f("kafka.sasl", Options{Brokers: brokers, SASL: &SASL{Mechanism: "plain", User: "cs"}})
}

// TestDeadlines: what the client library sets to for ever ends all the same, and the gauge goes
// down once.
func TestDeadlines(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	gauge := newMetrics(prometheus.NewRegistry())
	d := &recorder{Conn: near}
	c := &conn{Conn: d, open: gauge}
	c.SetDeadline(time.Time{})
	if left := time.Until(d.deadline); left <= 0 || left > dialTimeout {
		t.Errorf("for ever is %v", left)
	}
	at := time.Now().Add(time.Minute)
	if c.SetDeadline(at); !d.deadline.Equal(at) {
		t.Errorf("deadline %v, want %v", d.deadline, at)
	}
	c.Close()
	c.Close()
}

type recorder struct {
	net.Conn
	deadline time.Time
}

func (r *recorder) SetDeadline(t time.Time) error { r.deadline = t; return nil }

// TestForeign: nothing but the answer to the first request reaches the client library, which would
// reserve as much memory as a foreign answer happens to say.
func TestForeign(t *testing.T) {
	f := func(answer string, pass bool) {
		t.Helper()
		near, far := net.Pipe()
		go func() {
			far.Write([]byte(answer))
			far.Close()
		}()
		c := &conn{Conn: near, addr: "b:1", open: newMetrics(nil)}
		defer c.Close()
		n, err := c.Read(make([]byte, 4096))
		var foreign *foreignError
		if pass != (err == nil && n > 0) || !pass && answer != "" && !errors.As(err, &foreign) {
			t.Errorf("%q: %d, %v", answer, n, err)
		}
	}
	f("\x00\x00\x00\x06\x00\x00\x00\x01\x00\x00", true)
	f("HTTP/1.1 400 Bad Request\r\n", false)
	f("\x15\x03\x03\x00\x02\x02\x50", false)
	f("SSH-2.0-x\r\n", false)
	f("\x00\x00\x00\x06\x00\x00\x00\x02\x00\x00", false) // an answer to another request
	f("\xff\xff\xff\xff\x00\x00\x00\x01", false)
	f("x", false)
	f("", false)
}

// TestCodes: every code of a broker has a class, and its sentence names the topic where there is
// one.
func TestCodes(t *testing.T) {
	c, err := New(Options{Brokers: []string{"127.0.0.1:1"}, SASL: &SASL{Mechanism: "scram-sha-256", User: "cs", Password: func() string { return "canary" }}})
	if err != nil {
		t.Fatal(err)
	}
	f := func(class forward.Class, codes ...kafkago.Error) {
		t.Helper()
		for _, code := range codes {
			got := c.refused(code, "kyc", "broker 1")
			if got.Class != class || got.Text == "" || !errors.Is(got, code) || errors.Is(got, forward.ErrTooLarge) != (class == forward.TooLarge) {
				t.Errorf("%d: %s %q %v, want %s", code, got.Class, got.Text, got.Err, class)
			}
			if strings.Contains(got.Text, "canary") {
				t.Errorf("%d tells the password", code)
			}
			if class != forward.BadAuth && class != forward.OtherClass && !strings.Contains(got.Text, "topic kyc") {
				t.Errorf("%d: %q", code, got.Text)
			}
		}
	}
	f(forward.TooLarge, 10, 18)
	f(forward.Replicas, 19, 20)
	f(forward.TimedOut, 7)
	f(forward.NoLeader, 5, 6, 8, 9, 13, 41, 56, 74, 75)
	f(forward.BadTopic, 3, 17, 100)
	f(forward.Denied, 29, 31)
	f(forward.BadAuth, 33, 34, 58)
	f(forward.OtherClass, -1, 2, 21, 32, 35, 44, 87, 89, 4711)
	g := func(class forward.Class, err error) {
		t.Helper()
		if got := c.explain(err, "broker 1"); got.Class != class || got.Text == "" {
			t.Errorf("%v: %s %q, want %s", err, got.Class, got.Text, class)
		}
	}
	g(forward.NoLeader, produce.NewError(protocol.NewErrNoLeader("kyc", 1)))
	g(forward.NoLeader, produce.NewError(errors.New("mismatching leaders (1!=2)")))
	g(forward.TimedOut, context.DeadlineExceeded)
	g(forward.OtherClass, context.Canceled)
	g(forward.Unreachable, io.ErrUnexpectedEOF)
	g(forward.Unreachable, fmt.Errorf("read: %w", net.ErrClosed))
	g(forward.BadAuth, errConversation)
	g(forward.OtherClass, errClosed)
	g(forward.Denied, because(forward.Denied, nil, "as it is"))
}

// TestReader: records come out as they went in, byte for byte, and a record costs nothing of its
// own.
func TestReader(t *testing.T) {
	m := &forward.Message{Key: []byte("acme/u"), Value: []byte("{}"), Headers: []forward.Header{{Name: "ce_id", Value: []byte("1")}}, Time: time.UnixMilli(1_700_000_000_123)}
	bare := &forward.Message{Value: []byte{}}
	encode := func(r protocol.RecordReader) []byte {
		var b bytes.Buffer
		if _, err := (&protocol.RecordSet{Version: 2, Records: r}).WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	want := encode(protocol.NewRecordReader(
		protocol.Record{Key: protocol.NewBytes(m.Key), Value: protocol.NewBytes(m.Value), Headers: []protocol.Header{{Key: "ce_id", Value: []byte("1")}}, Time: m.Time},
		protocol.Record{Value: protocol.NewBytes(bare.Value), Time: m.Time},
	))
	bare.Time = m.Time
	if got := encode(&reader{messages: []*forward.Message{m, bare}}); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
	many := make([]*forward.Message, 1000)
	for i := range many {
		many[i] = m
	}
	r := reader{headers: make([]protocol.Header, 0, 4)}
	if n := testing.AllocsPerRun(10, func() {
		for r.messages = many; ; {
			if _, err := r.ReadRecord(); err != nil {
				return
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations for 1,000 records", n)
	}
	if _, err := (&Topic{c: &Client{}}).partitions([]forward.Batch{{Partition: 1, Records: many}, {Partition: 1, Records: many}}); err == nil {
		t.Error("two batches for one partition were taken")
	}
}

// TestClosed: after Close nothing starts anew.
func TestClosed(t *testing.T) {
	c, err := New(Options{Brokers: []string{"127.0.0.1:1"}, Topics: []string{"kyc"}})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	topic := c.Topic(TopicOptions{Name: "kyc"})
	_, prepare := topic.Prepare(t.Context())
	_, leaders := topic.Leaders(t.Context())
	for _, err := range []error{c.Probe(t.Context()), prepare, leaders, topic.Send(t.Context(), 1, []forward.Batch{{Records: []*forward.Message{{}}}})[0]} {
		if !errors.Is(err, errClosed) {
			t.Errorf("%v", err)
		}
	}
	if errs := topic.Send(t.Context(), 1, []forward.Batch{{Partition: 3}}); len(errs) != 1 || errs[0] != nil {
		t.Errorf("nothing to send: %v", errs)
	}
}
