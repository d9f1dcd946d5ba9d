package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/outbox/store"
	"countersign/relay/control/api"
	"countersign/relay/control/client"
)

// gateway asks whether the gateway is ready, and what time it is there.
func (d *doctor) gateway(ctx context.Context) (found []finding) {
	cl := d.client
	if cl == nil { // its own word can be had without a token
		cl = client.New(client.Options{Base: d.base, Tries: 1})
		found = append(found, doubt("run doctor as who may read the data directory, or set COUNTERSIGN_TOKEN", "%v", d.noClient))
	}
	asked := time.Now()
	if !d.healthz(ctx) {
		return append(found, bad("start it (countersign check says whether it can), or look at its log", "does not answer at %s", d.base))
	}
	if d.cfg != nil {
		if _, held := store.Holder(d.cfg.Data); !held {
			found = append(found, bad("stop what listens there (ss -ltnp says what that is), or correct listen.control or data", "something answers at %s, and nobody has %s open: it is another gateway", d.base, d.cfg.Data))
		}
	}
	v, err := cl.Readiness(ctx)
	took := time.Since(asked)
	switch {
	case err != nil:
		found = append(found, bad("look at its log", "answers /healthz, and not /readyz: %v", err))
	case v.Status != "ready":
		for _, r := range v.Reasons {
			found = append(found, bad("docs/OPERATIONS.md says what to do about each reason", "is not ready: %s", r))
		}
		if len(v.Reasons) == 0 {
			found = append(found, bad("send a token that it knows: it says to nobody else why", "is not ready"))
		}
	default:
		found = append(found, fine("is ready, answered in %s", millis(took)))
	}
	for _, n := range v.Notes {
		found = append(found, doubt("docs/OPERATIONS.md says what it means", "%s", n))
	}
	return found
}

// healthz asks whether it lives.
func (d *doctor) healthz(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.base+"/healthz", nil)
	if err != nil {
		return false
	}
	asked := time.Now()
	straight := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }} // nobody else is asked
	resp, err := straight.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close() //nolint:errcheck // it is not read
	if d.cfg == nil {       // on one machine they have one clock
		d.dates.note("the gateway", resp.Header.Get("Date"), asked, time.Now())
	}
	return resp.StatusCode == http.StatusOK
}

// For how long the earliest delivery that is due may wait.
const (
	dueDoubt = 5 * time.Minute
	dueBad   = time.Hour
)

// owed asks what each endpoint is owed, and since when.
func (d *doctor) owed(ctx context.Context) (found []finding) {
	if d.client == nil {
		return nil // said by gateway
	}
	series, err := d.scrape(ctx)
	if errors.Is(err, client.ErrUnreachable) {
		return nil // said by gateway
	}
	if err != nil {
		return []finding{bad(whyNoAnswer(err), "pending deliveries are not known: %v", err)}
	}
	total, endpoints := int64(0), 0
	for cursor := ""; ; {
		v, err := d.client.ListEndpoints(ctx, client.Page{Cursor: cursor, Limit: 1000})
		if client.Is(err, "not_found") {
			return []finding{fine("this gateway sends no webhooks: it has another role")}
		}
		if err != nil {
			return append(found, bad(whyNoAnswer(err), "pending deliveries are not known: %v", err))
		}
		for i := range v.Data {
			e := &v.Data[i]
			total, endpoints = total+e.Owed, endpoints+1
			due := time.Duration(series.of("outbox_oldest_due_seconds", `endpoint="`+e.ID+`"`) * float64(time.Second))
			for _, f := range owedTo(e, due) {
				f.Of = e.ID
				found = append(found, f)
			}
		}
		if v.Next == "" || v.Next == cursor {
			break
		}
		cursor = v.Next
	}
	return append([]finding{fine("%d deliveries to %d endpoint(s)", total, endpoints)}, found...)
}

// whyNoAnswer is what to do where a gateway has answered with an error.
func whyNoAnswer(err error) string {
	var e *client.Error
	if errors.As(err, &e) && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden) {
		return "give a token of this gateway, of scope viewer or more, in COUNTERSIGN_TOKEN"
	}
	return "look at the log of the gateway"
}

// owedTo judges one endpoint.
func owedTo(e *api.Endpoint, due time.Duration) (found []finding) {
	say := "countersign endpoints show " + e.ID + " says how it fails"
	switch {
	case e.Disabled != "":
		found = append(found, bad("when the partner has put it right: countersign endpoints resume "+e.ID, "is disabled (%s): %d pending", e.Disabled, e.Owed))
	case e.Paused != nil:
		found = append(found, doubt("countersign endpoints resume "+e.ID+" takes it up again", "is paused by an operator: %d pending", e.Owed))
	case due > dueBad:
		found = append(found, bad(say, "%d pending, the earliest due for %s", e.Owed, due.Round(time.Second)))
	case due > dueDoubt:
		found = append(found, doubt(say, "%d pending, the earliest due for %s", e.Owed, due.Round(time.Second)))
	case e.Breaker == "open" && !e.FailingSince.IsZero():
		found = append(found, bad(say, "accepts nothing since %s: %d pending", e.FailingSince.UTC().Format(time.RFC3339), e.Owed))
	case e.Breaker == "open":
		found = append(found, bad(say, "fails for everybody, and is only probed: %d pending", e.Owed))
	case !e.FailingSince.IsZero():
		found = append(found, doubt(say, "nothing was accepted since %s: %d pending", e.FailingSince.UTC().Format(time.RFC3339), e.Owed))
	}
	if e.Orphaned && e.Owed+int64(e.Withheld) > 0 {
		found = append(found, doubt("put it back into the config, or write renamed_from at the one that takes its place", "is not in the config: %d stay pending, %d rejections or suspensions withheld", e.Owed, e.Withheld))
	}
	if e.Dead > 0 {
		found = append(found, doubt("countersign deliveries --dead-lettered lists them", "%d ended without a 2xx", e.Dead))
	}
	return found
}

// series are what a gateway measures, by name and labels.
type series map[string]map[string]float64

// of is one of them; 0: there is none.
func (s series) of(name, labels string) float64 {
	return s["countersign_"+name][labels]
}

// all are those of a name, by labels, without those that are zero.
func (s series) all(name string) map[string]float64 {
	m := maps.Clone(s["countersign_"+name])
	maps.DeleteFunc(m, func(_ string, v float64) bool { return v == 0 })
	return m
}

// scrape reads the metrics.
func (d *doctor) scrape(ctx context.Context) (series, error) {
	text, err := d.client.Metrics(ctx, "")
	if err != nil {
		return nil, err
	}
	s := series{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || line[0] == '#' {
			continue
		}
		v, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			continue
		}
		name, labels, _ := strings.Cut(line[:at], "{")
		if s[name] == nil {
			s[name] = map[string]float64{}
		}
		s[name][strings.TrimSuffix(labels, "}")] = v
	}
	return s, nil
}

// measured judges what the gateway itself has measured: all that can be known of its machine from
// elsewhere.
func (d *doctor) measured(ctx context.Context) (found []finding) {
	if d.client == nil {
		return nil // said by gateway
	}
	s, err := d.scrape(ctx)
	if errors.Is(err, client.ErrUnreachable) {
		return nil // said by gateway
	}
	if err != nil {
		return []finding{bad(whyNoAnswer(err), "its metrics cannot be read: %v", err)}
	}
	add := func(probe string, f finding) {
		f.Probe = probe
		found = append(found, f)
	}
	free, reserve := int64(s.of("store_disk_free_bytes", "")), int64(s.of("store_reserve_bytes", ""))
	switch what := fmt.Sprintf("%s are free, as the gateway sees it; the file has room for %s", mebibytes(free), mebibytes(int64(s.of("store_room_bytes", "")))); {
	case s.of("store_full", "") > 0:
		add("disk", bad("make room, or raise storage.max_size", "callbacks are refused: %s", what))
	case free < 4*reserve:
		add("disk", doubt("make room: below "+mebibytes(reserve)+" callbacks are refused", "%s", what))
	default:
		add("disk", fine("%s", what))
	}
	add("disk", committed(s))
	if open, most := s["process_open_fds"][""], s["process_max_fds"][""]; open > filesAreMany*most {
		add("descriptors", doubt("raise LimitNOFILE= in its unit", "%.0f of %.0f files are open", open, most))
	} else {
		add("descriptors", fine("%.0f of %.0f files are open", open, most))
	}
	add("memory", fine("the gateway has %s in memory", mebibytes(int64(s["process_resident_memory_bytes"][""]))))
	for _, name := range []string{"ingest_certificate_expires_timestamp_seconds", "relay_client_certificate_expires_timestamp_seconds"} {
		ends := s.all(name)
		for _, labels := range slices.Sorted(maps.Keys(ends)) {
			if at := time.Unix(int64(ends[labels]), 0); time.Now().Add(expiresSoon).After(at) {
				add("certificate", bad("renew it in its place: the gateway follows the file", "%s %s ends at %s", strings.TrimSuffix(name, "_expires_timestamp_seconds"), labels, at.UTC().Format(time.RFC3339)))
			}
		}
	}
	if s.of("reload_last_successful", "") == 0 {
		add("config", doubt("countersign reload --dry-run says what is wrong with the file", "the config that counts is an older one: the last reload was refused"))
	}
	if n := s.of("relay_subjects_set_aside", ""); n > 0 {
		add("people", bad("countersign subject aside lists them, countersign subject rebuild rebuilds them", "%.0f are set aside: what is kept of them is damaged", n))
	}
	for labels, n := range s.all("store_damaged_records") {
		add("file", doubt("restore a backup if what is lost matters", "%.0f damaged record(s), %s", n, labels))
	}
	return found
}

// committed judges how long commits take.
func committed(s series) finding {
	if running := s.of("store_commit_running_seconds", ""); running > 1 {
		return bad("look at the disk: callbacks are refused until it has ended", "a commit has been running for %.1f s", running)
	}
	sum, count := s.of("store_commit_seconds_sum", ""), s.of("store_commit_seconds_count", "")
	if count == 0 {
		return fine("nothing was committed yet")
	}
	mean := time.Duration(sum / count * float64(time.Second))
	if mean > 2*flushDoubt {
		return doubt("find what else writes to the disk (iostat -x), or use a faster one", "a commit takes %s on the average since the start (two flushes)", millis(mean))
	}
	return fine("a commit takes %s on the average since the start (two flushes)", millis(mean))
}
