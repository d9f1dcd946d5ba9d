package stream

import (
	"strings"
	"testing"
)

// plan makes these the sources of the follower that runs.
func (d *desk) plan(sources ...Source) {
	d.t.Helper()
	p, err := d.follower.Plan(sources)
	if err != nil {
		d.t.Fatal(err)
	}
	p.End()
	p.Begin()
}

// TestPlan: a source that stays is not disturbed; one that becomes another account, or goes and
// comes back, goes on behind what is on disk.
func TestPlan(t *testing.T) {
	d := newDesk(t)
	stays := newFeed(t, sends(account(1, "SUBMITTED")))
	old, next := newFeed(t, sends(account(1, "SUBMITTED"), account(2, "ACTION_REQUIRED"))), newFeed(t, sends(account(3, "APPROVED")))
	same, one, two := alpaca(t, "stays", stays.url), alpaca(t, "src", old.url), alpaca(t, "src", next.url)
	stop := d.run(same, one)
	d.reaches("src", "2")
	d.reaches("stays", "1")
	d.plan(same)
	if n := d.value("stream_connected", "src", ""); n > 0 {
		t.Errorf("a source that has gone is connected: %v", n)
	}
	d.plan(same, two)
	d.reaches("src", "3")
	stop()
	if got := strings.Join(next.queries(), " "); !strings.HasPrefix(got, "since_id=2") {
		t.Errorf("asked %s", got)
	}
	if got := stays.queries(); len(got) != 1 {
		t.Errorf("the source that stays was asked for %v", got)
	}
	if us := d.updates(); len(us) != 4 {
		t.Errorf("%d updates", len(us))
	}
}
