package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"countersign/ingest/forward/brokers/cluster"
)

// gateway is a Countersign process under test. Only processes started here are ever signalled,
// through their handle.
type gateway struct {
	binary  string
	config  string
	role    string // "": all
	control string // base URL of the control listener
	url     string // where callbacks go
	kafka   bool   // it forwards to topics
	log     *os.File
	cmd     *exec.Cmd
	exited  chan struct{} // closed when the process is gone
}

const (
	readyWithin = 60 * time.Second // an unclean stop is followed by a check of the whole file
	stopWithin  = 15 * time.Second
)

// start starts the process; it is not ready yet.
func (g *gateway) start(ctx context.Context) error {
	args := []string{"serve", "--config", g.config}
	if g.role != "" {
		args = append(args, "--role", g.role)
	}
	g.cmd = exec.CommandContext(ctx, g.binary, args...) //nolint:gosec // the program the caller wants tested
	g.cmd.Stdout, g.cmd.Stderr = g.log, g.log
	if err := g.cmd.Start(); err != nil {
		return fmt.Errorf("start the gateway: %w", err)
	}
	g.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait() // how it ended stands in ProcessState
		close(exited)
	}(g.cmd, g.exited)
	return nil
}

func (g *gateway) pid() int { return g.cmd.Process.Pid }

// ready waits until /readyz answers 200.
func (g *gateway) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if status, _, err := get(ctx, g.control+"/readyz"); err == nil && status == http.StatusOK {
			return nil
		}
		select {
		case <-tick.C:
		case <-g.exited:
			return fmt.Errorf("the gateway ended by itself (%s); see %s", g.cmd.ProcessState, g.log.Name())
		case <-ctx.Done():
			return fmt.Errorf("the gateway is not ready: %w; see %s", ctx.Err(), g.log.Name())
		}
	}
}

// kill ends the process as a power cut would, and waits until it is gone.
func (g *gateway) kill() error {
	select {
	case <-g.exited:
		return fmt.Errorf("the gateway ended by itself (%s); see %s", g.cmd.ProcessState, g.log.Name())
	default:
	}
	if err := g.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill the gateway: %w", err)
	}
	<-g.exited
	return nil
}

// stop asks the process to end and returns how long that took. It is an error if it took too long
// or did not exit with 0.
func (g *gateway) stop() (time.Duration, error) {
	began := time.Now()
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return 0, fmt.Errorf("stop the gateway: %w", err)
	}
	timer := time.NewTimer(stopWithin)
	defer timer.Stop()
	select {
	case <-g.exited:
	case <-timer.C:
		return time.Since(began), errors.Join(fmt.Errorf("the gateway did not stop within %s", stopWithin), g.kill())
	}
	if code := g.cmd.ProcessState.ExitCode(); code != 0 {
		return time.Since(began), fmt.Errorf("the gateway stopped with exit code %d; see %s", code, g.log.Name())
	}
	return time.Since(began), nil
}

// end makes sure that nothing is left running, whatever happened.
func (g *gateway) end() error {
	if g.cmd != nil && g.cmd.Process != nil {
		select {
		case <-g.exited:
		default:
			_ = g.cmd.Process.Kill() // gone already is as good
			<-g.exited
		}
	}
	return g.log.Close()
}

// setup is what a test's config says. The partner's address may be that of a server in this
// process.
type setup struct {
	dir         string // of the config, the keys, the data and the log
	partner     string // host:port
	endpoints   int
	concurrency int    // of each endpoint; 0: the gateway's default
	key         string // of every endpoint, whsec_…
	sources     []sourceKey
	kafka       *kafkaSetup // nil: none
	backlog     int64       // records; 0: as many as never come
	retry       string      // of each endpoint; "": soon and often, "-": the gateway's default
	maxSize     string      // of the database; "": the gateway's default
	neighbour   bool        // with the source of that name, of a partner of its own with one endpoint
}

// kafkaSetup is what a test's config says of Kafka.
type kafkaSetup struct {
	brokers     []string
	ack         string // disk or kafka
	create      bool
	partitions  int
	replication int
}

func (k *kafkaSetup) yaml() string {
	return fmt.Sprintf("kafka: {brokers: [%s], ack: %s, create: %t, partitions: %d, replication: %d}\n", strings.Join(k.brokers, ", "), k.ack, k.create, k.partitions,
		k.replication)
}

// sourceKey is one source of the config and the secret it shares with its provider.
type sourceKey struct{ name, provider, key string }

func (s *sourceKey) file() string { return "source-" + s.name + ".key" }

// testSources are used by every soak and benchmark.
func testSources() []sourceKey {
	return []sourceKey{{"sumsub-test", "sumsub", "sumsub-secret-of-a-test"}, {"persona-test", "persona", "wbhsec_secret-of-a-test"}}
}

// data is where the gateway keeps its file.
func (s *setup) data() string { return filepath.Join(s.dir, "data") }

// specs are what newSource reads.
func (s *setup) specs() []string {
	specs := make([]string, len(s.sources))
	for i := range s.sources {
		specs[i] = s.spec(&s.sources[i])
	}
	return specs
}

func (s *setup) spec(k *sourceKey) string {
	return k.name + ":" + k.provider + ":file:" + filepath.Join(s.dir, k.file())
}

// neighbour is the source of another partner on the same machine.
var neighbour = sourceKey{"neighbour-test", "sumsub", "sumsub-secret-of-a-neighbour"}

// sourcePartners are the sources, and whose each is.
func (s *setup) sourcePartners() iter.Seq2[*sourceKey, string] {
	return func(yield func(*sourceKey, string) bool) {
		for i := range s.sources {
			if !yield(&s.sources[i], "acme") {
				return
			}
		}
		if s.neighbour {
			yield(&neighbour, "neighbour")
		}
	}
}

const endpointKeyFile = "endpoint.key"

// write makes the directory with the config and the keys, and a gateway that is not started. It
// refuses a directory that has been used: nothing is deleted.
func (s *setup) write(ctx context.Context, binary, role string) (*gateway, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("prepare the gateway: %w", err)
	}
	config := filepath.Join(s.dir, "countersign.yaml")
	if _, err := os.Stat(config); err == nil {
		return nil, fmt.Errorf("%s has been used before; name an empty directory", s.dir)
	}
	callbacks, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	control, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	files := map[string]string{config: s.yaml(callbacks, control), filepath.Join(s.dir, endpointKeyFile): s.key + "\n"}
	for src := range s.sourcePartners() {
		files[filepath.Join(s.dir, src.file())] = src.key + "\n"
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, fmt.Errorf("prepare the gateway: %w", err)
		}
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "gateway.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("prepare the gateway: %w", err)
	}
	return &gateway{binary: binary, config: config, role: role, control: "http://" + control, url: "http://" + callbacks + "/v1/callbacks/", kafka: s.kafka != nil, log: log}, nil
}

func (s *setup) yaml(callbacks, control string) string {
	var b strings.Builder
	maxSize := ""
	if s.maxSize != "" {
		maxSize = ", max_size: " + s.maxSize
	}
	fmt.Fprintf(&b, "mode: sandbox\ndata: %s\nlisten: {callbacks: %s, control: %s}\negress: {allow: [127.0.0.0/8]}\nstorage: {backlog: %d%s}\n",
		s.data(), callbacks, control, cmp.Or(s.backlog, 100_000_000), maxSize)
	if s.kafka != nil {
		b.WriteString(s.kafka.yaml())
	}
	b.WriteString("sources:\n")
	for src, partner := range s.sourcePartners() {
		fmt.Fprintf(&b, "  - {name: %s, provider: %s, keys: [\"file:%s\"], partner: %s}\n", src.name, src.provider, filepath.Join(s.dir, src.file()), partner)
	}
	b.WriteString("partners:\n  - id: acme\n    endpoints:\n")
	for i := range s.endpoints {
		s.endpoint(&b, endpointID(i), endpointPath(i))
	}
	if s.neighbour {
		b.WriteString("  - id: neighbour\n    endpoints:\n")
		s.endpoint(&b, "neighbour", "/hooks/neighbour")
	}
	return b.String()
}

func (s *setup) endpoint(b *strings.Builder, id, path string) {
	fmt.Fprintf(b, "      - id: %s\n        url: http://%s%s\n        format: standard\n        keys: [\"file:%s\"]\n", id, s.partner, path, filepath.Join(s.dir, endpointKeyFile))
	if s.concurrency > 0 {
		fmt.Fprintf(b, "        concurrency: %d\n", s.concurrency)
	}
	if retry := cmp.Or(s.retry, "{first: 200ms, factor: 2, max: 2s, attempts: 100}"); retry != "-" {
		b.WriteString("        retry: " + retry + "\n")
	}
}

func endpointID(i int) string   { return fmt.Sprintf("acme-%02d", i+1) }
func endpointPath(i int) string { return fmt.Sprintf("/hooks/%02d", i+1) }

// freeAddr is an address nobody listens on now.
func freeAddr(ctx context.Context) (string, error) {
	addrs, err := cluster.FreeAddrs(ctx, 1)
	if err != nil {
		return "", err
	}
	return addrs[0], nil
}
