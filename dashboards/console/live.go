package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// How many live pages there may be: each keeps one of the control listener's connections.
const (
	maxStreams      = 12
	maxStreamsOfOne = 4 // of one session
	streamWait      = 10 * time.Second
)

// streams are the live pages that are open.
type streams struct {
	mu    sync.Mutex // guards what follows
	all   int
	of    map[*session]int
	ended chan struct{} // closed when there are to be no more
	over  bool
}

// begin takes a place, which leave gives back.
func (ss *streams) begin(s *session) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.over || ss.all >= maxStreams || ss.of[s] >= maxStreamsOfOne {
		return false
	}
	if ss.of == nil {
		ss.of = map[*session]int{}
	}
	ss.all++
	ss.of[s]++
	return true
}

func (ss *streams) leave(s *session) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.all--
	if ss.of[s]--; ss.of[s] == 0 {
		delete(ss.of, s)
	}
}

// end has all of them end.
func (ss *streams) end() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if !ss.over {
		ss.over = true
		close(ss.ended)
	}
}

// events sends what is live of a page, as it changes. It ends with the session, and with the
// process.
func (c *Console) events(p *page) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		v, ok := c.visit(w, req, false)
		if !ok || !c.allowed(w, v, p) {
			return
		}
		if !c.streams.begin(v.session) {
			w.Header().Set("Retry-After", "60")
			c.refuse(w, req, http.StatusServiceUnavailable, "Too many live pages are open.")
			return
		}
		defer c.streams.leave(v.session)
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // nothing more is read, however long it takes
		if !send(w, ": live\n\n") {
			return
		}
		tick := time.NewTicker(p.live)
		defer tick.Stop()
		last := map[string]string{}
		for {
			select {
			case <-req.Context().Done():
				return
			case <-c.streams.ended:
				return
			case <-tick.C:
			}
			changed, ok := c.changed(v, p, last)
			if !ok {
				send(w, "event: ended\ndata: {}\n\n")
				return
			}
			if !send(w, changed) {
				return
			}
		}
	}
}

const nothingNew = ": nothing new\n\n" // a comment, which finds out whether somebody is there

// changed is the event that has what has changed of a page since the last one; false: the session
// has ended, or the page is not to be had any more.
func (c *Console) changed(v *visit, p *page, last map[string]string) (string, bool) {
	if c.sessions.of(cookieOf(v.Request), false) != v.session {
		return "", false
	}
	who, err := v.api.Whoami(v.Context())
	switch {
	case err != nil:
		return nothingNew, statusOf(err) != http.StatusUnauthorized
	case !p.sees(who.Scope):
		return "", false
	}
	v.who = who
	a, err := p.do(v)
	if err != nil || a.to != "" {
		return nothingNew, err == nil || statusOf(err) != http.StatusUnauthorized
	}
	page, parts := c.shown[a.name], map[string]string{}
	f := &frame{Title: a.title, View: a.view, Who: &v.who, Form: v.session.form}
	for _, name := range page.live {
		var b bytes.Buffer
		if err := page.t.ExecuteTemplate(&b, "live:"+name, f); err != nil {
			c.o.Logger.Error("console_page_failed", "page", a.name, "error", err)
			return "", false
		}
		if text := b.String(); last[name] != text {
			last[name], parts[name] = text, text
		}
	}
	if len(parts) == 0 {
		return nothingNew, true
	}
	b, err := json.Marshal(parts)
	if err != nil {
		return "", false
	}
	return fmt.Sprintf("data: %s\n\n", b), true
}

// send writes to a browser that takes it in time.
func send(w http.ResponseWriter, text string) bool {
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Now().Add(streamWait))
	if _, err := w.Write([]byte(text)); err != nil { //nolint:gosec // it is no HTML that a browser takes for a page, and html/template has made what is
		return false
	}
	return rc.Flush() == nil
}
