//go:build realkafka

package brokers

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/ingest/forward"
	real "countersign/ingest/forward/brokers/cluster"
	"countersign/ingest/forward/kafka"
	"countersign/kyc"
)

// realKafka starts nodes of Apache Kafka; where something is missing for that, the test fails and
// says what.
func realKafka(t *testing.T, o real.Options) *real.Cluster {
	t.Helper()
	o.Dir = t.TempDir()
	c, err := real.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// prepared makes the topic and sends to its first partition.
func prepared(t *testing.T, brokers []string, change func(*kafka.Options)) error {
	t.Helper()
	topic := client(t, brokers, change).Topic(kafka.TopicOptions{Name: name, Create: true, Partitions: 4, Replication: 1, Retention: time.Hour})
	layout, err := topic.Prepare(within(t))
	if err != nil {
		return err
	}
	leaders, err := topic.Leaders(within(t))
	if err != nil || layout.Partitions != 4 || len(leaders) != 4 || leaders[0] < 0 {
		t.Fatalf("%+v, %v, %v", layout, leaders, err)
	}
	for _, err := range topic.Send(within(t), leaders[0], batchesFor(leaders, leaders[0], 10)) {
		if err != nil {
			return err
		}
	}
	errs := topic.Send(within(t), leaders[0], []forward.Batch{{Partition: 0, Records: []*forward.Message{{Value: make([]byte, 2<<20)}}}})
	trouble(t, errs[0], forward.TooLarge, "max.message.bytes")
	return nil
}

// TestRealSASL: users of Apache Kafka itself, and what it says to those who are none.
func TestRealSASL(t *testing.T) {
	c := realKafka(t, real.Options{Security: "SASL_PLAINTEXT", Properties: map[string]string{
		"sasl.enabled.mechanisms":                             "PLAIN,SCRAM-SHA-512",
		"listener.name.client.sasl.enabled.mechanisms":        "PLAIN,SCRAM-SHA-512",
		"listener.name.client.plain.sasl.jaas.config":         `org.apache.kafka.common.security.plain.PlainLoginModule required user_cs="` + canary + `";`,
		"listener.name.client.scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
	}, Format: []string{"--add-scram", "SCRAM-SHA-512=[name=cs,password=" + canary + "]"}})
	for _, m := range []string{"plain", "scram-sha-512"} {
		if err := prepared(t, c.Addrs(), as(m, "cs", canary)); err != nil {
			t.Errorf("%s: %v", m, err)
		}
		trouble(t, prepared(t, c.Addrs(), as(m, "cs", "wrong"+canary)), forward.BadAuth, "user cs or its password is wrong", m)
	}
	trouble(t, prepared(t, c.Addrs(), as("scram-sha-256", "cs", canary)), forward.BadAuth, "scram-sha-256")
	trouble(t, prepared(t, c.Addrs(), trusting(newAuthority(t))), forward.BadTLS, "no TLS")
}

// TestRealTLS: certificates as Apache Kafka itself judges them.
func TestRealTLS(t *testing.T) {
	ours, other := newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	cert, key, keys := filepath.Join(dir, "crt"), filepath.Join(dir, "key"), filepath.Join(dir, "keys.pem")
	save(t, ours.sign(2, nil), cert, key)
	a, errA := os.ReadFile(key)
	b, errB := os.ReadFile(cert)
	if errA != nil || errB != nil || os.WriteFile(keys, append(a, b...), 0o600) != nil {
		t.Fatal(errA, errB)
	}
	c := realKafka(t, real.Options{Security: "SSL", Properties: map[string]string{
		"listener.name.client.ssl.keystore.type": "PEM", "listener.name.client.ssl.keystore.location": keys,
		"listener.name.client.ssl.truststore.type": "PEM", "listener.name.client.ssl.truststore.location": ours.file,
		"listener.name.client.ssl.client.auth": "required",
	}})
	with := func(o *kafka.Options) { o.TLS = &kafka.TLS{CAFile: ours.file, CertFile: cert, KeyFile: key} }
	if err := prepared(t, c.Addrs(), with); err != nil {
		t.Error(err)
	}
	trouble(t, prepared(t, c.Addrs(), trusting(ours)), forward.BadTLS, "kafka.tls.cert")
	trouble(t, prepared(t, c.Addrs(), trusting(other)), forward.BadTLS, "kafka.tls.ca")
	save(t, other.sign(3, nil), cert, key)
	trouble(t, prepared(t, c.Addrs(), with), forward.BadTLS, "certificate")
	save(t, ours.sign(3, nil), cert, key) // put in its place while the client runs
	if err := prepared(t, c.Addrs(), with); err != nil {
		t.Error(err)
	}
}

// TestRealForward: a leader is killed while records are forwarded, and the forwarder is stopped.
// Nothing is lost, each key is in order.
func TestRealForward(t *testing.T) {
	const persons, each = 40, 60
	c := realKafka(t, real.Options{Nodes: 3})
	g := startGateway(t, c.Addrs())
	g.topic = kafka.TopicOptions{Name: name, Create: true, Partitions: 6, Replication: 3, Retention: time.Hour}
	g.forward()
	for n := range each {
		for person := range persons {
			g.append(person, n)
		}
		switch n {
		case 10:
			eventually(t, "the first are with Kafka", func() bool { return g.f.Kept().Offset >= 10*persons })
			if err := c.Kill(0); err != nil {
				t.Fatal(err)
			}
		case 30:
			g.stop()
			g.forward()
		}
	}
	late, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for g.f.Kept().Offset < persons*each {
		select {
		case <-tick.C:
		case <-late.Done():
			t.Fatalf("%d of %d are with Kafka: %+v", g.f.Kept().Offset, persons*each, g.f.Status())
		}
	}
	t.Logf("%d repeated of %d", judge(t, c.Addrs()[1:], persons, each), persons*each)
}

// TestRealReaders runs the programs of docs/EVENTS.md against Apache Kafka: both print every change
// once, each person's in order.
func TestRealReaders(t *testing.T) {
	c := realKafka(t, real.Options{})
	k := client(t, c.Addrs(), func(o *kafka.Options) { o.Topics = []string{forward.ChangesTopic} })
	topic := k.Topic(kafka.TopicOptions{Name: forward.ChangesTopic, Create: true, Partitions: 3, Replication: 1})
	if _, err := topic.Prepare(within(t)); err != nil {
		t.Fatal(err)
	}
	var want []string
	for person := range 6 {
		subject := fmt.Sprint("user-", person)
		var ms []*forward.Message
		for n := range 4 {
			ch := kyc.Change{ID: fmt.Sprintf("evt_%d_%d", person, n), Type: "kyc.status.approved", Sequence: uint64(n + 1), Partner: "acme", Subject: kyc.Subject{ID: subject}}
			e := forward.Event{ID: ch.ID, Type: ch.Type, Subject: "acme/" + subject, Key: "acme/" + subject, At: time.Now(), Taken: time.Now()}
			ms = append(ms, e.Message(ch.AppendJSON(nil)))
			want = append(want, fmt.Sprintf("acme/%s %d %s", subject, n+1, ch.Type))
		}
		b := forward.Batch{Partition: forward.PartitionOf(ms[0].Key, 3), Records: append(ms, ms[1:]...)} // the last three are repeated
		leaders, err := topic.Leaders(within(t))
		if err != nil {
			t.Fatal(err)
		}
		if errs := topic.Send(within(t), leaders[b.Partition], []forward.Batch{b}); errs[0] != nil {
			t.Fatal(errs[0])
		}
	}
	text, err := os.ReadFile("../../../docs/EVENTS.md")
	if err != nil {
		t.Fatal(err)
	}
	for lang, command := range map[string]func(file string) []string{
		"go":     func(file string) []string { return []string{"go", "run", file} },
		"python": func(file string) []string { return []string{python(t), file} },
	} {
		program := regexp.MustCompile("(?ms)^```" + lang + " consumer\n(.*?)^```$").FindSubmatch(text)
		if program == nil {
			t.Fatalf("docs/EVENTS.md shows no reader in %s", lang)
		}
		file := filepath.Join(t.TempDir(), "reader."+strings.TrimSuffix(lang, "thon"))
		if err := os.WriteFile(file, program[1], 0o600); err != nil {
			t.Fatal(err)
		}
		got, ordered := lines(t, c.Addrs(), command(file), len(want)), true
		for person := range 6 {
			var of []string
			for _, l := range got {
				if strings.HasPrefix(l, fmt.Sprintf("acme/user-%d ", person)) {
					of = append(of, l)
				}
			}
			ordered = ordered && slices.IsSorted(of)
		}
		slices.Sort(got)
		if !ordered || !slices.Equal(got, slices.Sorted(slices.Values(want))) {
			t.Errorf("%s read %q, want %q", lang, got, want)
		}
	}
}

// lines are the first n that a program prints; then it is ended.
func lines(t *testing.T, brokers, command []string, n int) (got []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "KAFKA_BROKERS="+strings.Join(brokers, ","))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	cmd.Stderr = &said
	own(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	for in := bufio.NewScanner(out); len(got) < n && in.Scan(); {
		got = append(got, in.Text())
	}
	end(cmd)
	cmd.Wait()
	if len(got) < n {
		t.Errorf("%s printed %d lines, want %d: %s", command, len(got), n, said.String())
	}
	return got
}

// python is an interpreter that has the client library, made in the user's cache the first time.
func python(t *testing.T) string {
	t.Helper()
	const library = "kafka-python==3.0.12"
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "countersign", "venv-"+library)
	bin := filepath.Join(dir, "bin", "python")
	if exec.Command(bin, "-c", "import kafka").Run() == nil {
		return bin
	}
	if _, err := exec.LookPath("python3"); err != nil {
		t.Fatal("the reader in Python needs python3 with venv: install it (Debian: python3-venv)")
	}
	for _, step := range [][]string{{"python3", "-m", "venv", "--clear", dir}, {bin, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", library}} {
		if text, err := exec.CommandContext(within(t), step[0], step[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", step, err, text)
		}
	}
	return bin
}
