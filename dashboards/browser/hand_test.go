package browser

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// hand is somebody at the console: they follow links and press buttons that they see, by the words
// on them, and fill in fields by their labels. They type no address.
type hand struct {
	*chromium
	keys bool // they have no mouse
}

// hands are the ways in which people use the console.
func hands(t *testing.T, walk func(t *testing.T, h *hand), base string, ways ...string) {
	t.Helper()
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			h := &hand{newChromium(t, base), way == "keyboard"}
			if way == "without JavaScript" {
				call(h.chromium, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
			}
			walk(t, h)
		})
	}
}

// enter opens the console and signs in.
func (h *hand) enter(token string) {
	h.t.Helper()
	h.open("/")
	h.fill("API token", token)
	h.press("Sign in")
	h.shows("Sign out")
}

// finder finds what is seen and has these words, within what has the words of a row, and marks it.
const finder = `((kind, words, row) => {
	const text = e => e.innerText.replace(/\s+/g, " ").trim();
	const seen = e => e.checkVisibility({visibilityProperty: true}) && e.getClientRects().length > 0;
	for (const old of document.querySelectorAll("[data-hand]")) old.removeAttribute("data-hand");
	const fits = e => seen(e) && (!words || text(e) === words || text(e).startsWith(words + " "));
	let all = [...document.querySelectorAll(kind)].filter(fits);
	if (row) all = all.filter(e => { const r = e.closest("tr, li, section"); return r && text(r).includes(row); });
	if (!all.length) return false;
	let found = all[0];
	if (kind === "label") found = found.control;
	found.setAttribute("data-hand", "");
	return true;
})(%s)`

// sees waits until there is something to take.
func (h *hand) sees(kind, words, row string) {
	h.t.Helper()
	args, err := json.Marshal([]string{kind, words, row})
	if err != nil {
		h.t.Fatal(err)
	}
	expression := fmt.Sprintf(finder, strings.Trim(string(args), "[]"))
	for i := 0; !get(h.chromium, chromedp.Evaluate[bool](expression)); i++ {
		if i == 100 {
			h.t.Fatalf("nobody sees %s %q%s on %s:\n%s", kind, words, map[bool]string{true: " in " + row}[row != ""], get(h.chromium, chromedp.Location()), h.text("main"))
		}
		h.do(chromedp.Sleep(50e6))
	}
}

// take takes what was found, and waits for the page that comes.
func (h *hand) take() {
	h.t.Helper()
	get(h.chromium, chromedp.Evaluate[bool]("window.before = true"))
	if h.keys {
		h.reach()
		h.do(chromedp.KeyEvent(kb.Enter))
	} else {
		h.do(chromedp.Click(chromedp.CSS("[data-hand]"), chromedp.NodeVisible))
	}
	h.eventually("another page", func() bool {
		old, err := chromedp.Run(h.ctx, chromedp.Evaluate[bool](`window.before === true || document.readyState !== "complete"`))
		return err == nil && !old
	})
}

// reach goes to what was found with the Tab key.
func (h *hand) reach() {
	h.t.Helper()
	for range 300 {
		if get(h.chromium, chromedp.Evaluate[bool]("document.activeElement.hasAttribute('data-hand')")) {
			return
		}
		h.do(chromedp.KeyEvent(kb.Tab))
	}
	h.t.Fatalf("the Tab key does not lead to it on %s", get(h.chromium, chromedp.Location()))
}

// follow follows a link; press presses a button; at is what the row of it says, "": any.
func (h *hand) follow(words string, at ...string) {
	h.t.Helper()
	h.sees("a", words, strings.Join(at, " "))
	h.take()
}

func (h *hand) press(words string, at ...string) {
	h.t.Helper()
	h.sees("button", words, strings.Join(at, " "))
	h.take()
}

// fill fills a field in. Of a choice it takes what reads so.
func (h *hand) fill(label, value string) {
	h.t.Helper()
	h.sees("label", label, "")
	is := get(h.chromium, chromedp.Evaluate[string](`(e => e.tagName === "INPUT" ? e.type : e.tagName)(document.querySelector("[data-hand]"))`))
	switch is {
	case "radio", "checkbox":
		h.do(chromedp.Click(chromedp.CSS("[data-hand]"), chromedp.NodeVisible))
	case "SELECT", "datetime-local":
		chosen := fmt.Sprintf(`(e => { e.focus(); e.value = e.options ? [...e.options].find(o => o.text.trim().startsWith(%[1]q)).value : %[1]q; return e.value })(document.querySelector("[data-hand]"))`, value)
		get(h.chromium, chromedp.Evaluate[string](chosen))
	default:
		if h.keys {
			h.reach()
		} else {
			h.do(chromedp.Click(chromedp.CSS("[data-hand]"), chromedp.NodeVisible))
		}
		get(h.chromium, chromedp.Evaluate[bool](`document.querySelector("[data-hand]").select() || true`))
		h.do(chromedp.KeyEvent(value))
	}
}

// shows waits until the page says something.
func (h *hand) shows(want string) {
	h.t.Helper()
	text := ""
	for range 100 {
		if text = get(h.chromium, chromedp.Evaluate[string](`document.body.innerText.replace(/\s+/g, " ")`)); strings.Contains(text, want) {
			return
		}
		h.do(chromedp.Sleep(50e6))
	}
	h.t.Fatalf("nobody is told %q; the page says: %s", want, text)
}

// until follows something again and again, for what it shows comes by itself, until the page says
// what is waited for.
func (h *hand) until(want string, again func()) {
	h.t.Helper()
	h.eventually("the page says "+want, func() bool {
		again()
		return strings.Contains(get(h.chromium, chromedp.Evaluate[string](`document.body.innerText.replace(/\s+/g, " ")`)), want)
	})
}
