package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"countersign/relay/registry"
)

// TestLimits: what callbacks and partners may use together with what is kept aside is never more
// than there is, each endpoint may make at least one attempt, and with many files nobody has less
// than it asks for.
func TestLimits(t *testing.T) {
	config := func(kafka bool, concurrency ...int) *Config {
		c := &Config{Sources: []SourceConfig{{Name: "a"}, {Name: "b", API: &APIConfig{}}}}
		if kafka {
			c.Kafka = defaultKafka()
		}
		p := PartnerConfig{ID: "acme"}
		for i, n := range concurrency {
			p.Endpoints = append(p.Endpoints, EndpointConfig{ID: strconv.Itoa(i), Concurrency: n})
		}
		c.Partners = []PartnerConfig{p}
		return c
	}
	for _, c := range []*Config{config(false), config(false, 16), config(true, 16, 16, 1), config(false, 1000, 1, 16), config(true, 1000, 1000, 1000, 1000, 1000)} {
		aside := ownFiles + controlConns + apiConns
		if c.Kafka != nil {
			aside += kafkaConns
		}
		least, before := 0, limits{}
		for files := 1; files < 20_000; files++ {
			l, err := newLimits(c, files)
			if err != nil {
				if least > 0 {
					t.Fatalf("%d files are enough, and %d are not: %v", least, files, err)
				}
				continue
			}
			if least == 0 {
				least = files
			}
			inFlight := 0
			for i := range c.Partners[0].Endpoints {
				e := &c.Partners[0].Endpoints[i]
				n := l.concurrency(e)
				if n < 1 || n > e.Concurrency {
					t.Fatalf("%d files: endpoint %s may have %d attempts in flight of %d", files, e.ID, n, e.Concurrency)
				}
				inFlight += n
			}
			if aside+l.callbacks+l.partners > files || withSpare(inFlight) > l.partners || l.callbacks < leastOfThem || l.callbacks < before.callbacks || l.partners < before.partners {
				t.Fatalf("%d files: %+v with %d in flight and %d aside, after %+v", files, l, inFlight, aside, before)
			}
			before = l
		}
		if before.reduced() != (before.callbacks < manyCallbacks) || before.reduced() {
			t.Errorf("with 20,000 files: %+v", before)
		}
		if _, err := newLimits(c, least-1); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("at most %d files may be open, and this config needs %d", least-1, least)) {
			t.Errorf("one fewer than the least: %v", err)
		}
	}
}

// TestDivide: whatever endpoints there are, what is in flight fits into what is left for partners,
// each has one attempt at least and none more than it asks for; and what has no room at all is
// refused.
func TestDivide(t *testing.T) {
	for _, files := range []int{200, 400, 1024, 20_000} {
		l, err := newLimits(&Config{}, files)
		if err != nil {
			t.Fatal(err)
		}
		for n := 1; n < 300; n++ {
			ps := []registry.Partner{{ID: "a"}, {ID: "b"}}
			for i := range n {
				ps[i%2].Endpoints = append(ps[i%2].Endpoints, registry.Endpoint{ID: strconv.Itoa(i), Concurrency: 1 + 37*i%64})
			}
			err := l.divide(ps)
			if (err != nil) != (withSpare(n) > l.partners) || err != nil && !errors.Is(err, registry.ErrNoRoom) {
				t.Fatalf("%d files, %d endpoints: %v, with %d for partners", files, n, err, l.partners)
			}
			if err != nil {
				continue
			}
			inFlight := 0
			for i := range n {
				c := ps[i%2].Endpoints[i/2].Concurrency
				if inFlight += c; c < 1 || c > 1+37*i%64 {
					t.Fatalf("%d files, %d endpoints: number %d may have %d in flight", files, n, i, c)
				}
			}
			if withSpare(inFlight) > l.partners {
				t.Fatalf("%d files, %d endpoints: %d in flight, with %d for partners", files, n, inFlight, l.partners)
			}
		}
	}
}

// TestCgroupMemory reads cgroups of both versions as they are found: in containers, below slices
// with limits of their own, and without any.
func TestCgroupMemory(t *testing.T) {
	f := func(want int64, from string, files map[string]string) {
		t.Helper()
		root := t.TempDir()
		for name, text := range files {
			path := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, file := cgroupMemory(root)
		if got != want || file != "" && strings.TrimPrefix(file, root+"/") != from || file == "" && from != "" {
			t.Errorf("%v: %d by %q, want %d by %q", files, got, file, want, from)
		}
	}
	const unlimited = "9223372036854771712\n"
	f(0, "", nil)
	f(0, "", map[string]string{"proc/self/cgroup": "0::/\n"})
	f(512<<20, "sys/fs/cgroup/memory.max", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "536870912\n"})
	f(0, "", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"})
	f(1<<30, "sys/fs/cgroup/system.slice/memory.max", map[string]string{ // the slice is tighter than the service
		"proc/self/cgroup": "0::/system.slice/countersign.service\n", "sys/fs/cgroup/system.slice/memory.max": "1073741824\n",
		"sys/fs/cgroup/system.slice/countersign.service/memory.max": "2147483648\n",
	})
	f(256<<20, "sys/fs/cgroup/system.slice/countersign.service/memory.max", map[string]string{
		"proc/self/cgroup": "0::/system.slice/countersign.service\n", "sys/fs/cgroup/system.slice/memory.max": "max\n",
		"sys/fs/cgroup/system.slice/countersign.service/memory.max": "268435456\n",
	})
	f(128<<20, "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", map[string]string{
		"proc/self/cgroup": "12:cpu,cpuacct:/docker/abc\n5:memory:/docker/abc\n", "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": "134217728\n",
		"sys/fs/cgroup/memory/memory.limit_in_bytes": unlimited,
	})
	f(64<<20, "sys/fs/cgroup/memory/memory.limit_in_bytes", map[string]string{ // the path is the host's, and what is mounted is the container's
		"proc/self/cgroup": "5:memory:/docker/abc\n0::/docker/abc\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "67108864\n",
	})
	f(0, "", map[string]string{"proc/self/cgroup": "5:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": unlimited})
	f(0, "", map[string]string{"proc/self/cgroup": "rubbish\n::\n0::/../../etc\n", "sys/fs/cgroup/memory.max": "no number\n"})
}

// TestLimitMemory: the heap may take nine tenths of what the cgroup has, and the log says so.
func TestLimitMemory(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	root := t.TempDir()
	for name, text := range map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "10737418240\n"} {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, root, name, text)
	}
	var log bytes.Buffer
	limitMemory(slog.New(slog.NewJSONHandler(&log, nil)), root)
	if got := debug.SetMemoryLimit(-1); got != 9663676416 || !strings.Contains(log.String(), `"bytes":9663676416,"of":10737418240`) {
		t.Errorf("the limit is %d; %s", got, log.String())
	}
}

// TestBodiesOfMemory: what bodies may take follows the memory there is, within bounds, and is never
// less than one of the largest.
func TestBodiesOfMemory(t *testing.T) {
	const mib = int64(1) << 20
	f := func(c *Config, memory int64, want ...int64) {
		t.Helper()
		all, source, address := c.bodies(memory * mib)
		if all != want[0]*mib || source != want[1]*mib || address != want[2]*mib {
			t.Errorf("%+v of %d MiB: %d, %d, %d MiB; want %v", c.Limits, memory, all/mib, source/mib, address/mib, want)
		}
	}
	usual := &Config{Sources: []SourceConfig{{MaxBody: mib}, {MaxBody: mib / 2}}}
	f(usual, 0, 48, 24, 12) // nobody knows how much there is
	f(usual, 24<<10, 48, 24, 12)
	f(usual, 256, 48, 24, 12)
	f(usual, 128, 32, 16, 8)
	f(usual, 8, 2, 1, 1)
	f(usual, 1, 1, 1, 1)
	f(&Config{}, 128, 32, 16, 8)
	large := &Config{Sources: []SourceConfig{{MaxBody: 16 * mib}}}
	f(large, 128, 32, 16, 16)
	f(large, 16, 16, 16, 16)
	set := &Config{Sources: usual.Sources, Limits: LimitsConfig{Bodies: 8 * mib}}
	f(set, 128, 8, 4, 2)
	f(&Config{Sources: usual.Sources, Limits: LimitsConfig{BodiesPerSource: 100 * mib}}, 1024, 100, 100, 25)
	f(&Config{Sources: usual.Sources, Limits: LimitsConfig{BodiesPerAddress: 3 * mib}}, 1024, 48, 24, 3)
}

// TestMemoryLimit: the cgroup's limit counts before the machine's memory.
func TestMemoryLimit(t *testing.T) {
	root := t.TempDir()
	f := func(want int64) {
		t.Helper()
		if got := memoryLimit(root); got != want {
			t.Errorf("%d, want %d", got, want)
		}
	}
	f(0)
	for _, dir := range []string{"proc/self", "sys/fs/cgroup"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, root, "proc/meminfo", "MemFree:  17 kB\nMemTotal:       24683520 kB\n")
	f(24683520 << 10)
	write(t, root, "proc/self/cgroup", "0::/\n")
	write(t, root, "sys/fs/cgroup/memory.max", "536870912\n")
	f(512 << 20)
	write(t, root, "sys/fs/cgroup/memory.max", "max\n")
	write(t, root, "proc/meminfo", "MemTotal: lots\n")
	f(0)
	if here := memoryLimit("/"); here < 64<<20 {
		t.Errorf("this machine has %d bytes", here)
	}
}

// TestLimitsOfMetrics: what asks at listen.metrics has connections of its own.
func TestLimitsOfMetrics(t *testing.T) {
	least := func(metrics string) (n int) {
		c := &Config{Listen: ListenConfig{Metrics: metrics}}
		for n = 1; ; n++ {
			if _, err := newLimits(c, n); err == nil {
				return n
			}
		}
	}
	if without, with := least(""), least("127.0.0.1:9100"); with != without+metricsConns {
		t.Errorf("%d files are enough without, %d with it", without, with)
	}
}
