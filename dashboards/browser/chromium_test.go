package browser

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

var shots = flag.String("shots", "", "a directory for pictures of the pages; empty: none are taken")

// chromium is one tab of a real browser. It reaches loopback addresses only, and a page that asks
// for anything else fails the test, and so does an error of a script or of the policy of a page.
type chromium struct {
	t   *testing.T
	ctx context.Context
	axe string // the source of axe-core
	on  string // where the console is

	mu    sync.Mutex // guards what follows
	wrong []string
}

func newChromium(t *testing.T, base string) *chromium {
	t.Helper()
	o := append(
		chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.ExecPath(found(t)), chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"), chromedp.Flag("no-proxy-server", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-domain-reliability", true), chromedp.WSURLReadTimeout(60*time.Second),
	)
	allocated, stop := chromedp.NewExecAllocator(t.Context(), o...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocated)
	t.Cleanup(cancel)
	ctx, ends := context.WithTimeout(ctx, 4*time.Minute)
	t.Cleanup(ends)
	c := &chromium{t: t, ctx: ctx, axe: axe.of(t), on: base}
	c.do(chromedp.Navigate("about:blank")) // starts it
	if err := chromedp.Listen(ctx, c.heard); err != nil {
		t.Fatal(err)
	}
	call(c, network.Enable, network.EnableParams{})
	call(c, log.Enable, cdp.Empty{})
	t.Cleanup(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, w := range c.wrong {
			t.Error(w)
		}
	})
	return c
}

func found(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("no Chromium is on this machine: install it (Debian: chromium)")
	return ""
}

// heard notes what no page may do.
func (c *chromium) heard(event any) {
	wrong := ""
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err != nil || u.Scheme != "data" && !strings.HasPrefix(e.Request.URL, c.on+"/") {
			wrong = "a page asks for " + e.Request.URL
		}
	case *runtime.EventExceptionThrown:
		wrong = "a script fails: " + e.ExceptionDetails.Text
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError && !strings.Contains(e.Entry.Text, "status of 4") { // a page that is refused on purpose
			wrong = "the browser says: " + e.Entry.Text + " " + e.Entry.URL
		}
	}
	if wrong != "" {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.wrong = append(c.wrong, wrong)
	}
}

func (c *chromium) do(actions ...chromedp.Action[chromedp.Void]) {
	c.t.Helper()
	if err := chromedp.Do(c.ctx, actions...); err != nil {
		c.t.Fatal(err)
	}
}

// get runs what answers something.
func get[T any](c *chromium, a chromedp.Action[T]) T {
	c.t.Helper()
	v, err := chromedp.Run(c.ctx, a)
	if err != nil {
		c.t.Fatal(err)
	}
	return v
}

// call makes a call of the browser's protocol.
func call[P, R any](c *chromium, command cdp.Command[P, R], params P) {
	c.t.Helper()
	if _, err := chromedp.Call(c.ctx, command, params); err != nil {
		c.t.Fatal(err)
	}
}

// appears is how the browser shows a page: in a colour scheme, and so wide.
func (c *chromium) appears(scheme string, width int64) {
	c.t.Helper()
	call(c, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	call(c, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 800, DeviceScaleFactor: 1, Mobile: width < 500})
}

// open goes to a page of the console.
func (c *chromium) open(path string) {
	c.t.Helper()
	c.do(chromedp.Navigate(c.on+path), chromedp.WaitReady(chromedp.CSS("main")))
}

// press presses a button or follows a link, and waits for the page that comes.
func (c *chromium) press(selector string) {
	c.t.Helper()
	get(c, chromedp.Evaluate[bool]("window.before = true"))
	c.do(chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
	c.eventually("another page after "+selector, func() bool {
		old, err := chromedp.Run(c.ctx, chromedp.Evaluate[bool](`window.before === true || document.readyState !== "complete"`))
		return err == nil && !old
	})
}

// text is what a page, or a part of it, says.
func (c *chromium) text(selector string) string {
	c.t.Helper()
	return get(c, chromedp.TextContent(chromedp.CSS(selector)))
}

func (c *chromium) says(selector, want string) {
	c.t.Helper()
	if got := c.text(selector); !strings.Contains(got, want) {
		c.t.Errorf("%s says %q, want %q", selector, got, want)
	}
}

func (c *chromium) eventually(what string, ok func() bool) {
	c.t.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if ok() {
			return
		}
	}
	c.t.Fatalf("never: %s", what)
}

// look holds the page that is open to the rules of accessibility, light and dark, wide and narrow:
// nothing of it is wider than the window. With -shots it takes a picture of each.
func (c *chromium) look(name string) {
	c.t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{1280, 390} {
			c.appears(scheme, width)
			what := fmt.Sprintf("%s-%d-%s", name, width, scheme)
			c.judge(what)
			if over := get(c, chromedp.Evaluate[int]("document.documentElement.scrollWidth - document.documentElement.clientWidth")); over > 0 {
				c.t.Errorf("%s is %d pixels wider than the window", what, over)
			}
			if *shots != "" {
				if err := os.WriteFile(filepath.Join(*shots, what+".png"), get(c, chromedp.FullScreenshot(100)), 0o644); err != nil {
					c.t.Fatal(err)
				}
			}
		}
	}
	c.appears("light", 1280)
}

// judge runs axe-core on the page.
func (c *chromium) judge(what string) {
	c.t.Helper()
	var result struct {
		Violations []struct {
			ID, Help string
			Nodes    []struct {
				HTML           string
				FailureSummary string
			}
		}
		Passes []struct{ ID string }
	}
	get(c, chromedp.Evaluate[int](c.axe+";0"))
	text := get(c, chromedp.Evaluate[string](
		`axe.run(document, {resultTypes: ["violations", "passes"]}).then(r => JSON.stringify({violations: r.violations, passes: r.passes.map(p => ({id: p.id}))}))`, chromedp.EvalAwaitPromise,
	))
	if err := json.Unmarshal([]byte(text), &result); err != nil {
		c.t.Fatal(err)
	}
	if len(result.Passes) < 10 {
		c.t.Errorf("%s: axe-core looked at %d rules only", what, len(result.Passes))
	}
	for _, v := range result.Violations {
		for _, n := range v.Nodes {
			c.t.Errorf("%s: %s (%s): %s\n%s", what, v.ID, v.Help, n.HTML, n.FailureSummary)
		}
	}
}
