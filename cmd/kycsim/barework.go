package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	gojson "github.com/goccy/go-json"
	"github.com/valyala/fasthttp"
	bolt "go.etcd.io/bbolt"
)

// bareWorkCmd is the bare work, in a process of its own so that its CPU can be read: one verified
// callback in, one group commit, one signed webhook out, one note that it arrived. It knows no
// person, no rule, no order, no retry and no history; it is what a gateway is held against, and
// nothing that anybody should run.
type bareWorkCmd struct {
	Addr   string        `required:"" help:"Where it listens."`
	Dir    string        `required:"" help:"Where its database is made."`
	Source string        `required:"" help:"Key of the callbacks."`
	Key    string        `required:"" help:"Key of the webhooks, whsec_…"`
	URL    []string      `required:"" help:"Where each callback is relayed to."`
	Linger time.Duration `default:"300us" help:"How long a group waits for more."`
	Finish time.Duration `default:"5ms" help:"How old what arrived becomes before it is noted."`
}

const (
	bareWorkers = 64 // for each URL, as many as a gateway's endpoint has in the benchmarks
	bareGroup   = 2000
	bareQueue   = 1 << 20
	bareTimeout = 10 * time.Second
)

// bareJob is one callback.
type bareJob struct {
	id   uint64
	body []byte
	done chan struct{}
}

// bareDone is one delivery that arrived.
type bareDone struct {
	id uint64
	to int
}

// bareWork is one such process.
type bareWork struct {
	c      *bareWorkCmd
	db     *bolt.DB
	in     chan *bareJob
	fin    chan bareDone
	queues []chan *bareJob
	macs   sync.Pool // of the callbacks' key
	signs  sync.Pool // of the webhooks' key
	ids    uint64    // owned by the writer
	due    map[bareDone][]byte
}

// Run serves until the context ends.
func (c *bareWorkCmd) Run(ctx context.Context, out io.Writer) error {
	secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(c.Key, "whsec_"))
	if err != nil {
		return fmt.Errorf("bare work: %w", err)
	}
	db, err := bolt.Open(filepath.Join(c.Dir, "bare.db"), 0o600, &bolt.Options{FreelistType: bolt.FreelistMapType, NoFreelistSync: true, InitialMmapSize: 8 << 30})
	if err != nil {
		return fmt.Errorf("bare work: %w", err)
	}
	w := &bareWork{
		c: c, db: db, in: make(chan *bareJob, 4096), fin: make(chan bareDone, 1<<16), due: map[bareDone][]byte{},
		macs: sync.Pool{New: func() any { return hmac.New(sha256.New, []byte(c.Source)) }}, signs: sync.Pool{New: func() any { return hmac.New(sha256.New, secret) }},
	}
	if err := w.buckets(); err != nil {
		return fmt.Errorf("bare work: %w", err)
	}
	for range c.URL {
		w.queues = append(w.queues, make(chan *bareJob, bareQueue))
	}
	failed := make(chan error, 1)
	go func() { failed <- w.write() }()
	client := &fasthttp.Client{MaxConnsPerHost: 4096, NoDefaultUserAgentHeader: true, ReadTimeout: bareTimeout, WriteTimeout: bareTimeout}
	for to, url := range c.URL {
		for range bareWorkers {
			go w.relay(client, to, url)
		}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Addr)
	if err != nil {
		return fmt.Errorf("bare work: %w", err)
	}
	dones := sync.Pool{New: func() any { return make(chan struct{}, 1) }}
	s := &fasthttp.Server{NoDefaultServerHeader: true, NoDefaultDate: true, Logger: quiet{}, Handler: func(ctx *fasthttp.RequestCtx) { w.take(ctx, &dones) }}
	go func() { failed <- s.Serve(l) }()
	_, _ = fmt.Fprintln(out, "ready")
	select {
	case err := <-failed:
		return fmt.Errorf("bare work: %w", err)
	case <-ctx.Done():
		return nil // what is open ends with the process
	}
}

func (w *bareWork) buckets() error {
	return w.db.Update(func(tx *bolt.Tx) error {
		var err error
		for _, n := range []string{"ev", "due", "st"} {
			_, berr := tx.CreateBucketIfNotExists([]byte(n))
			err = errors.Join(err, berr)
		}
		return err
	})
}

// take is one callback: proved, read, durable, answered.
func (w *bareWork) take(ctx *fasthttp.RequestCtx, dones *sync.Pool) {
	body := ctx.PostBody()
	if !w.proves(ctx.Request.Header.Peek("X-Payload-Digest"), body) {
		ctx.SetStatusCode(fasthttp.StatusUnauthorized)
		return
	}
	var e struct {
		ApplicantID   string `json:"applicantId"`
		CorrelationID string `json:"correlationId"`
		Type          string `json:"type"`
		ReviewStatus  string `json:"reviewStatus"`
		ReviewResult  struct {
			ReviewAnswer string   `json:"reviewAnswer"`
			RejectLabels []string `json:"rejectLabels"`
		} `json:"reviewResult"`
	}
	if gojson.Unmarshal(body, &e) != nil || e.Type == "" {
		ctx.SetStatusCode(fasthttp.StatusBadRequest)
		return
	}
	done, _ := dones.Get().(chan struct{})
	w.in <- &bareJob{body: append([]byte(nil), body...), done: done}
	<-done
	dones.Put(done)
	ctx.SetBodyString("ok")
}

func (w *bareWork) proves(digest, body []byte) bool {
	m, _ := w.macs.Get().(hash.Hash)
	defer w.macs.Put(m)
	m.Reset()
	m.Write(body)
	var sum [sha256.Size]byte
	var text [2 * sha256.Size]byte
	hex.Encode(text[:], m.Sum(sum[:0]))
	return hmac.Equal(text[:], digest)
}

// write is the one writer: it commits groups of what came in and of what arrived.
func (w *bareWork) write() error {
	tick := time.NewTicker(w.c.Finish)
	defer tick.Stop()
	finished := time.Now()
	var js []*bareJob
	var ds []bareDone
	for {
		js, ds = js[:0], ds[:0]
		select {
		case j := <-w.in:
			js = append(js, j)
		case <-tick.C:
		}
		time.Sleep(w.c.Linger)
		for len(js) < bareGroup && len(w.in) > 0 {
			js = append(js, <-w.in)
		}
		if time.Since(finished) >= w.c.Finish || len(w.fin) > bareGroup {
			for len(ds) < 2*bareGroup && len(w.fin) > 0 {
				ds = append(ds, <-w.fin)
			}
			finished = time.Now()
		}
		if len(js)+len(ds) == 0 {
			continue
		}
		if err := w.db.Update(func(tx *bolt.Tx) error { return w.put(tx, js, ds) }); err != nil {
			return err
		}
		for _, j := range js {
			j.done <- struct{}{}
			for _, q := range w.queues {
				q <- j
			}
		}
	}
}

func (w *bareWork) put(tx *bolt.Tx, js []*bareJob, ds []bareDone) error {
	ev, due, st := tx.Bucket([]byte("ev")), tx.Bucket([]byte("due")), tx.Bucket([]byte("st"))
	ev.FillPercent, due.FillPercent, st.FillPercent = 0.9, 0.9, 0.9
	for _, j := range js {
		w.ids++
		j.id = w.ids
		if err := ev.Put(binary.BigEndian.AppendUint64(nil, j.id), j.body); err != nil {
			return err
		}
		for to := range w.queues {
			k := binary.BigEndian.AppendUint64(make([]byte, 0, 18), uint64(time.Now().UnixMilli())&^0xfff)
			k = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint64(k, j.id), uint16(to))
			w.due[bareDone{j.id, to}] = k
			if err := due.Put(k, nil); err != nil {
				return err
			}
		}
	}
	for _, d := range ds {
		if err := due.Delete(w.due[d]); err != nil {
			return err
		}
		delete(w.due, d)
		k := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint64(nil, d.id), uint16(d.to)) //nolint:gosec // few
		if err := st.Put(k, make([]byte, 24)); err != nil {
			return err
		}
	}
	return nil
}

// relay posts what is queued for one URL, signed as Standard Webhooks says.
func (w *bareWork) relay(client *fasthttp.Client, to int, url string) {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	var id, at, signature []byte
	for j := range w.queues[to] {
		id = strconv.AppendUint(append(id[:0], "msg_"...), j.id, 10)
		at = strconv.AppendInt(at[:0], time.Now().Unix(), 10)
		m, _ := w.signs.Get().(hash.Hash)
		m.Reset()
		for _, part := range [][]byte{id, {'.'}, at, {'.'}, j.body} {
			m.Write(part)
		}
		var sum [sha256.Size]byte
		signature = base64.StdEncoding.AppendEncode(append(signature[:0], "v1,"...), m.Sum(sum[:0]))
		w.signs.Put(m)
		req.Reset()
		req.SetRequestURI(url)
		req.Header.SetMethod("POST")
		req.Header.SetContentType("application/json")
		req.Header.SetBytesV("webhook-id", id)
		req.Header.SetBytesV("webhook-timestamp", at)
		req.Header.SetBytesV("webhook-signature", signature)
		req.SetBodyRaw(j.body)
		if err := client.DoTimeout(req, resp, bareTimeout); err != nil || resp.StatusCode() != fasthttp.StatusOK {
			continue // the benchmark counts what arrives
		}
		w.fin <- bareDone{j.id, to}
	}
}
