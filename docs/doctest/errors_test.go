package doctest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	contract "countersign/relay/control/api"
)

// TestErrorsInProse: docs/API.md lists every way in which a call is refused, as the API's own
// description has it. With -update the table is written.
func TestErrorsInProse(t *testing.T) {
	const head = "| status | type | code | when |\n|---|---|---|---|\n"
	var want strings.Builder
	for _, r := range contract.Refusals() {
		code := "`" + r.Code + "`"
		if r.Code == "" {
			code = "of what is wrong"
		}
		fmt.Fprintf(&want, "| %d | `%s` | %s | %s |\n", r.Status, r.Type, code, r.When)
	}
	text := page(t, "API.md")
	before, rest, ok := strings.Cut(text, head)
	if !ok {
		t.Fatal("docs/API.md has no table of errors")
	}
	table, after, _ := strings.Cut(rest, "\n\n")
	if !strings.HasPrefix(rest, "|") {
		table, after = "", strings.TrimPrefix(rest, "\n")
	} else {
		table += "\n"
	}
	if table == want.String() {
		return
	}
	if !*update {
		t.Errorf("the table of errors in docs/API.md is not\n%s", want.String())
		return
	}
	if err := os.WriteFile(filepath.Join(docs, "API.md"), []byte(before+head+want.String()+"\n"+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
