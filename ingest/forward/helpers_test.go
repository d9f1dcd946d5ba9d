package forward

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/ingest/journal"
	"countersign/outbox/store"
)

var someTime = time.Date(2026, 3, 19, 9, 20, 0, 123_456_000, time.UTC)

// rig is a journal on a store of its own.
type rig struct {
	*journal.Bolt
	s    *store.Store
	reg  *prometheus.Registry
	stop func() error
}

func fastDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "countersign")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// startRig opens the file in a directory; "": in a new one.
func startRig(t *testing.T, dir string, o journal.Options) *rig {
	t.Helper()
	if dir == "" {
		dir = fastDir(t)
	}
	s, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	r := &rig{s: s, reg: prometheus.NewPedanticRegistry(), stop: sync.OnceValue(func() error {
		cancel()
		return errors.Join(<-ended, s.Close())
	})}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	o.Store, o.Metrics, o.Logger = s, r.reg, slog.New(slog.DiscardHandler)
	if o.Sealer, err = store.OpenSealer(dir); err != nil {
		t.Fatal(err)
	}
	if r.Bolt, err = journal.NewBolt(o); err != nil {
		t.Fatal(err)
	}
	return r
}

// again stops the rig and starts it on the same files.
func (r *rig) again(t *testing.T) *rig {
	t.Helper()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	return startRig(t, filepath.Dir(r.s.Path()), journal.Options{})
}

// newest is the offset of the last record.
func (r *rig) newest() int64 {
	n, _ := r.Waiting(journal.Position{})
	return n
}

func (r *rig) metric(t *testing.T, name string) (sum float64) {
	t.Helper()
	fams, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fams {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() // only one of them is there
			}
		}
	}
	return sum
}

func mustAppend(t *testing.T, r *rig, rs ...journal.Record) {
	t.Helper()
	if err := r.Append(t.Context(), rs...); err != nil {
		t.Fatal(err)
	}
}
