package browser

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// signIn signs in with a token.
func (c *chromium) signIn(token string) {
	c.t.Helper()
	c.open("/")
	c.do(chromedp.SetValue(chromedp.CSS("#token"), token))
	c.press("button.main")
}

// TestConsole walks the console as an operator does: signs in, looks at what is now, finds the
// person whom a sanctions match holds, sees what an approval would do, and takes it.
func TestConsole(t *testing.T) {
	g := newGateway(t)
	g.people()
	c := newChromium(t, g.base)

	c.open("/")
	c.says("h1", "Sign in")
	c.look("sign-in")
	c.signIn("not-a-token")
	c.says("[role=alert]", "not a token of this gateway")
	c.signIn(g.token)
	c.says("h1", "Now")
	c.do(chromedp.KeyEvent(kb.Tab))
	if focused := get(c, chromedp.Evaluate[string]("document.activeElement.textContent")); focused != "Skip to the content" {
		t.Errorf("the first key goes to %q", focused)
	}
	c.eventually("the dead-lettered deliveries are shown", func() bool { return strings.Contains(c.text("[data-live=needs]"), "Dead-lettered deliveries") })
	c.eventually("the page is live", func() bool { return strings.Contains(c.text("footer"), "Live.") })
	g.trigger("sumsub-eu", "rejected_final", "evelyn")
	before := c.text("[data-live=at]")
	c.eventually("what is live changes by itself", func() bool { return c.text("[data-live=at]") != before })
	c.eventually("there are samples to plot", func() bool {
		c.open("/console/now")
		return !strings.Contains(c.text("main"), "Too few samples")
	})
	c.look("now")
	c.open("/console/now?range=day")
	c.look("now-day")

	c.press("nav li:nth-child(2) a")
	c.says("h1", "Persons")
	c.look("persons")
	c.do(chromedp.SetValue(chromedp.CSS("#ls"), "rejected"))
	c.press("form[action='/console/persons'] button")
	if list := c.text("tbody"); !strings.Contains(list, "linus") || strings.Contains(list, "grace") {
		t.Errorf("rejected are %s", list)
	}
	c.do(chromedp.SetValue(chromedp.CSS("#p"), "acme"), chromedp.SetValue(chromedp.CSS("#s"), "linus"))
	c.press("form[action='/console/person'] button")
	c.says("h1", "linus")
	c.says(".large", "rejected")
	c.says(".timeline", "Held by a sanctions or PEP match")
	c.says("[aria-labelledby=status]", "What would answer it")
	c.look("person-held")
	c.press("button[value=approved]")
	c.says("h1", "Approve linus?")
	c.says("table", "acme-main")
	c.look("decide")
	if g.wasTold("linus approved") {
		t.Fatal("what was only foreseen was done")
	}
	c.do(chromedp.SetValue(chromedp.CSS("#note"), "another person of the same name, ticket 4815"))
	c.press("form[method=post] button.main")
	c.says("[role=status]", "rejected → approved")
	c.says(".timeline", "ticket 4815")
	g.eventually("the partner is told of the approval", func() bool { return g.wasTold("linus approved") })
	c.open("/console/person?partner=acme&subject=ada")
	c.look("person")
	c.open("/console/person?partner=acme&subject=ada&at=2020-01-01T00:00")
	c.says("main", "As of")
	c.look("person-then")
	c.open("/console/find?q=ada")
	c.says("tbody", "ada")
	c.look("find")
	c.open("/console/person?partner=acme&subject=nobody-of-this-name")
	c.says("h1", "Not Found")
	c.look("error")

	call(c, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	c.open("/console/now")
	c.says("main", "Needs a person")
	c.says("main", "Refresh")
	call(c, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{})
	c.press(".who button")
	c.says("h1", "Sign in")
	c.says("[role=status]", "signed out")
}
