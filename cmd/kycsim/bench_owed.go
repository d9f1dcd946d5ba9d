package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"countersign/outbox"
	"countersign/outbox/store"
)

const (
	owedEndpoints  = 100
	owedBody       = 1024
	owedPerTx      = 5000
	owedWatch      = 10 * time.Second
	maxFirst       = 3   // seconds
	maxOwedMiB     = 200 // while a million are owed
	anHour         = time.Hour
	fillWithin     = 10 * time.Minute
	databaseInData = "countersign.db"
)

// owed is part d: a gateway that starts with a million deliveries owed, half of them due.
func (c *benchCmd) owed(ctx context.Context) (rows []row, err error) {
	s := setup{endpoints: owedEndpoints}
	g, clean, err := c.place(ctx, "big", c.Gateway, "", &s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, clean()) }()
	data := s.data()
	began := time.Now()
	if err := fill(ctx, data, filling{n: c.Owed, endpoints: endpointIDs(owedEndpoints), later: anHour}, began); err != nil {
		return nil, err
	}
	filled := time.Since(began)
	size, err := dropCache(filepath.Join(data, databaseInData))
	if err != nil {
		return nil, err
	}
	first, once := make(chan time.Time, 1), sync.Once{}
	p, err := startPartner(ctx, partnerOptions{
		Addr: s.partner, Key: s.key, Format: "standard",
		Arrived: func(_ *receivedLine, at time.Time) { once.Do(func() { first <- at }) },
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	began = time.Now()
	if err := g.start(ctx); err != nil {
		return nil, err
	}
	stopWatch := watch(ctx, g.pid())
	defer stopWatch()
	timer := time.NewTimer(owedWatch)
	defer timer.Stop()
	seconds := owedWatch.Seconds()
	select {
	case at := <-first:
		seconds = at.Sub(began).Seconds()
		<-timer.C
	case <-timer.C:
	case <-g.exited:
		return nil, fmt.Errorf("the gateway ended by itself (%s)", g.cmd.ProcessState)
	}
	top, delivered := stopWatch(), p.accepted.Load()
	stopped, err := g.stop() // a delivery backlog is no reason to hang
	return []row{
		shown("d", "deliveries owed", float64(c.Owed), ""),
		shown("d", "size of the file", mib(size), "MiB"),
		shown("d", "time to fill it", filled.Seconds(), "s"),
		atMost("d", "start to first delivery", seconds, maxFirst, "s", ""),
		atMost("d", "anonymous memory, first 10 s", mib(top.anon), maxOwedMiB, "MiB", ""),
		shown("d", "mapped file pages, first 10 s", mib(top.file), "MiB"),
		shown("d", "delivered in these 10 s", float64(delivered), ""),
		atMost("d", "stopped, with most of it owed", stopped.Seconds(), stopWithin.Seconds(), "s", ""),
	}, err
}

// filling is what a gateway owes as it starts: n deliveries, one a lane, over some endpoints. Every
// second one is due so much later than the others.
type filling struct {
	n         int
	endpoints []string
	later     time.Duration
}

func endpointIDs(n int) (ids []string) {
	for i := range n {
		ids = append(ids, endpointID(i))
	}
	return ids
}

// fill owes deliveries. It uses the outbox as the gateway does, in this process and before that
// starts.
func fill(ctx context.Context, dir string, f filling, now time.Time) (err error) {
	ctx, cancel := context.WithTimeout(ctx, fillWithin)
	defer cancel()
	st, err := store.Open(store.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	running, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- st.Run(running) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ran, st.Close())
	}()
	endpoints := make([]outbox.Endpoint, len(f.endpoints))
	for i := range endpoints {
		endpoints[i] = outbox.Endpoint{ID: f.endpoints[i]}
	}
	var boxes [2]*outbox.Outbox // the heads of one become due now, those of the other later
	for i := range boxes {
		at := now.Add(time.Duration(i) * f.later)
		if boxes[i], err = outbox.New(outbox.Options{Store: st, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return at }}, endpoints); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
	}
	perEndpoint := (f.n + len(endpoints) - 1) / len(endpoints)
	for from := 0; from < f.n; from += owedPerTx {
		err := st.Update(ctx, func(tx *store.Tx) error {
			var halves [2][]outbox.Delivery
			for i := from; i < min(f.n, from+owedPerTx); i++ {
				halves[i%2] = append(halves[i%2], owedDelivery(i, f.endpoints[i/perEndpoint], now))
			}
			return errors.Join(boxes[0].Put(tx, halves[0]...), boxes[1].Put(tx, halves[1]...))
		})
		if err != nil {
			return fmt.Errorf("fill: %w", err)
		}
	}
	return nil
}

// owedDelivery is a delivery with a body of the standard format, padded to its size.
func owedDelivery(i int, endpoint string, now time.Time) outbox.Delivery {
	id, subject := fmt.Sprintf("evt_owed%018d", i), fmt.Sprintf("owed-%07d", i)
	body := fmt.Appendf(make([]byte, 0, owedBody), `{"type":"kyc.status.approved","timestamp":%q,"data":{"id":%q,"sequence":1,"previous_sequence":0,"partner":"acme",`+
		`"subject":{"id":%q,"kind":"individual"},"status":"approved","livemode":false,"padding":"`, now.UTC().Format(time.RFC3339), id, subject)
	for len(body) < owedBody-3 {
		body = append(body, 'x')
	}
	return outbox.Delivery{
		Endpoint: endpoint, Lane: "acme/" + subject + "\x01t", Sequence: 1, WebhookID: id, Type: "kyc.status.approved", Format: "standard",
		Owed: now, Received: now, Body: append(body, `"}}`...),
	}
}

// dropCache makes the next reader go to the disk, as after a reboot.
func dropCache(path string) (size int64, err error) {
	f, err := os.Open(path) //nolint:gosec // written by fill
	if err != nil {
		return 0, fmt.Errorf("drop the page cache: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	info, err := f.Stat()
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	}
	if err != nil {
		return 0, fmt.Errorf("drop the page cache: %w", err)
	}
	_ = os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0o200) // only root may, and the advice above has done the most of it
	return info.Size(), nil
}
