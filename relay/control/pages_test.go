package control

import (
	stdflag "flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/ingest/journal"
	"countersign/relay"
)

// What TestPageTimes makes and holds pages to.
var (
	pagePersons = stdflag.Int("pages", 0, "how many people TestPageTimes makes, of five deliveries each, to print how long each page of the console takes; 0: it does nothing")
	pageStrict  = stdflag.Bool("pages-strict", false, "fail where the median of a page's times is over 100 ms")
)

const pageWithin = 100 * time.Millisecond

// shownPage is a page of the console that somebody asks for.
type shownPage struct {
	token, path string
	most        int64 // records that it may look at, where that goes with how many people there are up to this bound; 0: it does not
	why         string
}

// The bounds of pages that look at a part of what is asked for and go on on the next page.
const (
	lookedThrough = relay.ListLook * 6 // deliveries, with what stands beside each
	byFinder      = 9 * 8192           // entries that no segment has yet, which the segments after it will have
	auditLook     = 3 * 5000
	walked        = 3 * verifyMost
	gathered      = 400 // records that are looked at for the metrics of an endpoint: 64 heads that have failed, and what stands beside each
	forEach       = 12  // records that are looked at for an entry that is shown
)

// each list of the console, with what its forms can ask for.
func (s *site) lists() (ps []shownPage) {
	add := func(most int64, why, path string, tokens ...string) {
		for _, token := range tokens {
			ps = append(ps, shownPage{token, path, most, why})
		}
	}
	const ada, paul = "ada", "paul"
	statuses := []string{"", "not_started", "pending", "in_review", "approved", "rejected", "expired", "suspended"}
	for _, status := range statuses {
		for _, held := range []string{"", "&held=true"} {
			add(0, "", "/console/persons?status="+status+held, ada, paul)
			add(0, "", "/console/persons?partner=p07&status="+status+held, ada)
			add(0, "", "/console/persons?livemode=false&status="+status+held, ada)
		}
	}
	partner, id := s.person(s.persons / 2)
	add(0, "", "/console/persons?partner="+partner+"&begins="+id[:10], ada)
	add(0, "", "/console/persons?partner="+partner+"&status=suspended&begins=person-0", ada)
	for _, status := range []string{"", "pending", "retrying", "delivered", "dead_lettered", "cancelled"} {
		base := "/console/deliveries?status=" + status
		add(int64(1000+gathered*s.endpoints), "what endpoints wait for is a bounded number of heads of each", base, ada, paul)
		add(int64(1000+gathered*s.endpoints), "what endpoints wait for is a bounded number of heads of each", base+"&partner=p07", ada)
		add(int64(1000+gathered*s.endpoints), "what endpoints wait for is a bounded number of heads of each", base+"&endpoint=p07-main", ada)
		add(int64(1000+gathered*s.endpoints), "what endpoints wait for is a bounded number of heads of each", base+"&subject="+id+"&partner="+partner, ada)
		add(int64(1000+gathered*s.endpoints), "what endpoints wait for is a bounded number of heads of each", base+"&subject="+id+"&livemode=false&partner="+partner, ada)
		add(lookedThrough, "a type has no index", base+"&type=kyc.status.suspended", ada, paul)
		add(lookedThrough, "a type has no index", base+"&type=kyc.check.*", ada)
		add(lookedThrough, "when something came to be owed has no index", base+"&since=2026-02-25T00:00&until=2026-02-27T02:00", ada)
	}
	add(int64(1000+gathered*s.endpoints), "64 heads of each endpoint that have failed", "/console/endpoints", ada, paul)
	add(0, "", "/console/replays", ada)
	for _, page := range []string{"quarantine", "unrouted", "refs", "questions", "sources", "withheld", "withheld?acknowledged=true", "withheld?endpoint=p07-main", "withheld?endpoint=p00-main", "withheld?endpoint=p07-main&acknowledged=true", "audit"} {
		add(0, "", "/console/"+page, ada)
	}
	add(0, "", "/console/audit?subject="+url.QueryEscape(partner+"/"+id), ada)
	for _, q := range []string{"actor=rare", "actor=nobody", "call=compact", "outcome=false", "since=2026-03-01T09:00&until=2026-03-01T09:30", "all=true"} {
		add(auditLook, "who did what has no index: numbers have", "/console/audit?"+q, ada)
	}
	return ps
}

// ones are the pages that are about one thing, and those that say what a change would do.
func (s *site) ones() (ps []shownPage) {
	add := func(most int64, why, path string, tokens ...string) {
		for _, token := range tokens {
			ps = append(ps, shownPage{token, path, most, why})
		}
	}
	const ada, paul = "ada", "paul"
	i := s.persons / 2
	for i%5 == 4 || s.isRare(i) {
		i++
	}
	partner, id := s.person(i)
	_, endpoint := s.lane(i)
	person := "partner=" + partner + "&subject=" + id + "&livemode=true"
	metrics, ofEach := int64(1000+gathered*s.endpoints), "the metrics look at a bounded number of heads of each endpoint"
	add(metrics, ofEach, "/console/now", ada)
	add(metrics, ofEach, "/console/now?range=day", ada)
	add(0, "", "/console/person?"+person, ada, paul)
	add(0, "", "/console/person?"+person+"&at=2026-03-01T12:00:00", ada)
	add(0, "", "/console/decide?"+person+"&what=approved&target="+url.QueryEscape("manual=true&check=identity_verification&scope=overall"), ada)
	for _, word := range []string{id, fmt.Sprint("applicant-", i), "nothing-that-is-there"} {
		add(0, "", "/console/find?q="+word, ada)
	}
	const finds = "an id is looked for in each segment of the finder"
	for _, word := range []string{s.webhookID(i), s.webhookID(i) + "@" + endpoint, s.saying(i).ID, "evt_" + s.saying(i).ID} {
		add(byFinder, finds, "/console/find?q="+word, ada)
	}
	for _, n := range []string{"pending", "dead_lettered"} {
		add(byFinder, finds, "/console/delivery?id="+url.QueryEscape(s.one(relay.Status(n), "p00-main")), ada, paul)
	}
	pending := url.QueryEscape(s.one(relay.Pending, "p00-main"))
	for _, n := range []string{"retry", "skip", "cancel", "redeliver"} {
		add(byFinder, finds, "/console/delivery/"+n+"?id="+pending, ada)
	}
	for _, e := range []string{"p00-main", "p07-main", "p05-main", s.gone} {
		add(metrics, ofEach, "/console/endpoint?id="+e, ada)
		for _, n := range []string{"pause", "resume", "retry", "ping", "give-up", "rotate", "revoke"} {
			add(int64(1000+gathered*s.endpoints), "64 heads of each endpoint that have failed", "/console/endpoint/"+n+"?id="+e, ada)
		}
	}
	add(int64(1000+gathered*s.endpoints), "64 heads of each endpoint that have failed", "/console/endpoint?id=p00-main", paul)
	for _, n := range []string{"", "/pause", "/resume", "/cancel"} {
		add(0, "", "/console/replay"+n+"?id="+s.replays[0], ada)
	}
	add(int64(1000+gathered*s.endpoints), "64 heads of each endpoint that have failed", "/console/replay/new?endpoint=p00-main", ada)
	item := "?id=item-000001"
	for _, path := range []string{
		"/console/quarantine/body" + item, "/console/quarantine/release" + item, "/console/quarantine/discard" + item, "/console/unrouted/release?id=unrouted_0", "/console/unrouted/discard?id=unrouted_0",
		"/console/unrouted/take-back", "/console/refs/settle?ref=r&source=sumsub-eu", "/console/questions/close?id=jumio/workflow/open-1",
		"/console/questions/close-old?source=nobody&older=1h&all=true", "/console/source?name=sumsub-eu",
		"/console/withheld/acknowledge?id=" + url.QueryEscape(s.oneWithheld()),
	} {
		add(0, "", path, ada)
	}
	add(int64(1000+gathered*s.endpoints), "64 heads of each endpoint that have failed", "/console/verify", paul)
	add(int64(1000+gathered*s.endpoints), "64 heads of each endpoint that have failed", "/console/verify", ada)
	add(int64(1000+gathered*s.endpoints), "64 heads of each endpoint that have failed", "/console/verify?endpoint=p00-main", ada)
	add(0, "", "/console/person/rebuild?"+person, ada)
	add(0, "", "/console/damaged", ada)
	add(2*journal.CountMost, "so many are counted at most", "/console/questions/close-old?source=jumio&older=1h", ada)
	add(walked, "a page verifies a part of the trail", "/console/audit/verify", ada)
	return ps
}

// isRare reports whether the i-th person is one of those whom something rare is about.
func (s *site) isRare(i int) bool { return i%(s.persons/few) < 5 }

// one is the id of a delivery that stands so.
func (s *site) one(status relay.Status, endpoint string) string {
	s.t.Helper()
	list, _, _, err := s.relay.Deliveries(relay.Wanted{Status: status, Endpoints: func(id string) bool { return id == endpoint }, Limit: 10})
	s.check(err)
	if len(list) == 0 {
		s.t.Fatalf("nothing is %s", status)
	}
	return list[len(list)/2].ID
}

func (s *site) oneWithheld() string {
	s.t.Helper()
	list, _, err := s.outbox.ListWithheld("", "", 1, false)
	s.check(err)
	if len(list) == 0 {
		s.t.Fatal("nothing is withheld")
	}
	return list[0].ID
}

// pageRoutes are the pages that the console says it has, by its own table.
func pageRoutes(t *testing.T) (paths []string) {
	t.Helper()
	row := regexp.MustCompile(`\{"(?:GET )?(/console/[a-z/-]+)", (?:"|api\.)`)
	files, err := filepath.Glob("../../dashboards/console/*.go")
	if err != nil || len(files) < 20 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range row.FindAllStringSubmatch(string(b), -1) {
			paths = append(paths, m[1])
		}
	}
	return paths
}

// looksOf is how many records a page looks at: the fewest of some visits, for more goes on beside
// them.
func (s *site) looksOf(p shownPage) (least, rows int64) {
	s.t.Helper()
	least = 1 << 62
	for range 3 {
		w, _, looks := s.visit(p.token, p.path)
		if w.Code != http.StatusOK && w.Code != http.StatusConflict && w.Code != http.StatusNotFound {
			s.t.Errorf("%s as %s: %d %.300s", p.path, p.token, w.Code, text(w.Body.String()))
			return 0, 0
		}
		least, rows = min(least, looks), int64(strings.Count(w.Body.String(), "<tr"))
	}
	return least, rows
}

// text is the main part of a page, without its tags.
func text(page string) string {
	_, main, _ := strings.Cut(page, "<main")
	return strings.Join(strings.Fields(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(main, " ")), " ")
}

// TestPageWork (I9): how many records a page of the console looks at does not go with how many
// people and deliveries there are. Nothing here measures time: see TestPageTimes.
func TestPageWork(t *testing.T) {
	const people, times = 1000, 10
	type work struct{ looks, rows int64 }
	small := map[int]work{}
	var asked []string
	for round, n := range []int{people, people * times} {
		s := newSite(t, n, 10)
		lists, ones := s.lists(), s.ones()
		if w, _, _ := s.visit("ada", "/console/now"); !strings.Contains(text(w.Body.String()), fmt.Sprint(few, " Persons held by a match")) {
			t.Errorf("Now does not say that %d are held: %s", few, text(w.Body.String()))
		}
		for i, p := range slices.Concat(lists, ones) {
			asked = append(asked, strings.Split(p.path, "?")[0])
			is, rows := s.looksOf(p)
			if round == 0 {
				small[i] = work{is, rows}
				continue
			}
			was := small[i] // the same page of the other site
			switch {
			case p.most > 0 && is > p.most:
				t.Errorf("%s as %s looks at %d records, of %d at most: %s", p.path, p.token, is, p.most, p.why)
			case p.most == 0 && is > was.looks+was.looks/4+50+max(0, rows-was.rows)*forEach:
				t.Errorf("%s as %s looks at %d records among %d people, and at %d among %d: it walks", p.path, p.token, was.looks, people, is, n)
			}
		}
	}
	for _, path := range pageRoutes(t) {
		if !slices.Contains(asked, path) {
			t.Errorf("nobody asks for the page %s: add it to lists or ones", path)
		}
	}
}

// further are pages in the middle of a list, and its last.
func (s *site) further() (ps []shownPage) {
	s.t.Helper()
	for _, l := range []struct{ token, page, call string }{
		{"ada", "/console/persons?", "/v1/subjects?livemode=true"},
		{"ada", "/console/persons?status=approved", "/v1/subjects?livemode=true&status=approved"},
		{"ada", "/console/persons?status=rejected", "/v1/subjects?livemode=true&status=rejected"},
		{"paul", "/console/persons?", "/v1/subjects?livemode=true"},
		{"ada", "/console/deliveries?", "/v1/deliveries?"},
		{"ada", "/console/deliveries?status=pending", "/v1/deliveries?status=pending"},
		{"ada", "/console/deliveries?status=retrying", "/v1/deliveries?status=retrying"},
		{"ada", "/console/deliveries?status=delivered", "/v1/deliveries?status=delivered"},
		{"ada", "/console/deliveries?status=dead_lettered", "/v1/deliveries?status=dead_lettered"},
		{"paul", "/console/deliveries?status=dead_lettered", "/v1/deliveries?status=dead_lettered"},
		{"ada", "/console/audit?", "/v1/audit?"},
		{"ada", "/console/quarantine?", "/v1/quarantine?"},
		{"ada", "/console/unrouted?", "/v1/quarantine?kind=records"},
		{"ada", "/console/refs?", "/v1/refs/conflicts?"},
		{"ada", "/console/questions?", "/v1/questions?"},
		{"ada", "/console/withheld?", "/v1/withheld?"},
	} {
		middle, last := s.places(l.token, l.call)
		for _, cursor := range []string{middle, last} {
			if cursor != "" {
				ps = append(ps, shownPage{token: l.token, path: l.page + "&cursor=" + cursor})
			}
		}
	}
	return ps
}

// TestPageTimes prints how long the server takes for each page of the console with so many people
// as -pages says, and how many records it looks at: make pages. Other programs share the machine, so
// each page is asked for many times, and the median counts.
func TestPageTimes(t *testing.T) {
	if *pagePersons == 0 {
		return // it is no test but a measurement, and a long one
	}
	s := newSite(t, *pagePersons, listEndpoints)
	s.awaitFinder()
	const rounds = 21
	var slowest, all []time.Duration
	pages := slices.Concat(s.lists(), s.ones(), s.further())
	fmt.Fprintf(os.Stdout, "%d persons, %d deliveries, %d endpoints; %d visits of each page\n", s.persons, 5*s.persons, s.endpoints, rounds)
	fmt.Fprintf(os.Stdout, "%8s %8s %8s %5s %-5s %s\n", "p50", "max", "records", "rows", "as", "page")
	for _, p := range pages {
		var times []time.Duration
		least, rows := int64(1)<<62, 0
		for range rounds {
			w, took, looks := s.visit(p.token, p.path)
			if w.Code != http.StatusOK && w.Code != http.StatusConflict && w.Code != http.StatusNotFound {
				t.Errorf("%s as %s: %d %.300s", p.path, p.token, w.Code, text(w.Body.String()))
				break
			}
			times, least, rows = append(times, took), min(least, looks), strings.Count(w.Body.String(), "<tr")
		}
		if len(times) < rounds {
			continue
		}
		slices.Sort(times)
		p50 := times[rounds/2]
		slowest, all = append(slowest, times[rounds-1]), append(all, p50)
		path, cursor, far := strings.Cut(p.path, "cursor=")
		if far {
			path += "cursor=" + cursor[max(0, len(cursor)-8):]
		}
		fmt.Fprintf(os.Stdout, "%8s %8s %8d %5d %-5s %.110s\n", p50.Round(100*time.Microsecond), times[rounds-1].Round(100*time.Microsecond), least, rows, p.token, path)
		if *pageStrict && p50 > pageWithin {
			t.Errorf("%s as %s takes %s, want %s", p.path, p.token, p50, pageWithin)
		}
	}
	if len(all) == 0 {
		t.Fatal("no page was shown")
	}
	slices.Sort(all)
	slices.Sort(slowest)
	fmt.Fprintf(os.Stdout, "%d pages: the median page takes %s, the slowest %s; the slowest visit took %s\n", len(all), all[len(all)/2].Round(100*time.Microsecond), all[len(all)-1].Round(100*time.Microsecond), slowest[len(slowest)-1].Round(100*time.Microsecond))
}
