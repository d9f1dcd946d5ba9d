package browser

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// command runs one of the program's own against the gateway. It may refuse.
func (g *gateway) command(args ...string) string {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), 30*time.Second)
	defer cancel()
	out, _ := exec.CommandContext(ctx, g.binary, append(args, "--config", g.config)...).CombinedOutput()
	return string(out)
}

// TestReview walks the pages of what waits for a person as an operator does, the sources, the audit
// trail, and what a partner is shown of how to verify webhooks.
func TestReview(t *testing.T) {
	g := newGateway(t)
	g.people()
	g.trigger("by-prefix", "approved", "nobody:user-9")
	g.trigger("by-ref", "approved", "user-010")
	for _, subject := range []string{"user-011", "user-012"} {
		g.command("submit", "acme", subject, "by-ref", "applicant-of-two")
	}
	g.eventually("an endpoint was not told of a rejection", func() bool { return strings.Contains(g.command("deliveries", "list", "--status", "dead"), "acme-risk") })
	c := newChromium(t, g.base)
	c.signIn(g.token)
	c.says("h1", "Now")

	c.open("/console/quarantine")
	c.says("tbody", "names no partner")
	c.look("quarantine")
	c.press("tbody th a")
	c.says("main", "A release would change nothing")
	c.look("quarantine-item")
	c.press("form[action='/console/quarantine/body'] button")
	c.says("pre", "nobody:user-9")
	c.look("quarantine-body")
	c.press("a[href^='/console/quarantine/discard']")
	c.says("h1", "Discard a callback")
	c.look("discard")
	c.do(chromedp.SetValue(chromedp.CSS("#f-reason"), "of a test account, ticket 4816"))
	c.press("button.danger")
	c.says("[role=status]", "The callback is discarded.")
	c.says("main", "Nothing is in quarantine.")

	c.open("/console/unrouted")
	c.says("tbody", "by-ref")
	c.look("unrouted")
	c.press("td.does a")
	c.says("h1", "Give a record to its person")
	c.look("unrouted-release")
	c.do(chromedp.SetValue(chromedp.CSS("#f-partner"), "acme"), chromedp.SetValue(chromedp.CSS("#f-subject"), "user-010"), chromedp.SetValue(chromedp.CSS("#f-reason"), "as their dashboard shows"))
	c.press("button[name=again]")
	c.says("main", "user-010 of acme")
	c.says("table", "acme-main")
	c.look("unrouted-effect")
	c.press("button.main")
	c.says("[role=status]", "is given to user-010 of acme")
	g.eventually("the partner is told", func() bool { return g.wasTold("user-010 approved") })

	c.open("/console/refs")
	c.says("tbody", "applicant-of-two")
	c.look("refs")
	c.open("/console/damaged")
	c.says("main", "No person has a damaged record.")
	c.look("damaged")
	c.open("/console/questions")
	c.look("questions")
	c.open("/console/withheld")
	c.says("tbody", "linus")
	c.look("withheld")

	c.open("/console/sources")
	c.look("sources")
	c.press("tbody tr:last-child th a")
	c.says("main", "What would this callback mean?")
	c.do(chromedp.SetValue(chromedp.CSS("#eh"), "Content-Type: application/json"), chromedp.SetValue(chromedp.CSS("#eb"), "{\"applicantId\": \"a\"}"))
	c.press("form[action='/console/source'] button.main")
	c.says("#answer", "not genuine")
	c.look("source")

	c.open("/console/audit")
	c.says("tbody", "of a test account, ticket 4816")
	c.look("audit")
	c.open("/console/audit/verify")
	c.says("main", "sound")
	c.look("audit-verify")
	c.press(".who button")
	c.says("[role=status]", "signed out")

	file := filepath.Join(t.TempDir(), "acme.token")
	g.command("token", "make", "acmes", "--scope", "partner", "--partner", "acme", "--out", file)
	token, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c.signIn(strings.TrimSpace(string(token)))
	c.open("/console/verify")
	c.says("main", "Code for the shared secret")
	c.look("verify")
	secret, err := os.ReadFile(filepath.Join(filepath.Dir(g.config), "acme.key"))
	if err != nil || strings.Contains(c.text("body"), strings.TrimSpace(string(secret))) {
		t.Errorf("the page has the secret: %v", err)
	}
}
