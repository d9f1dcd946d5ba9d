package doctest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"countersign/kyc"
)

// words are the constants of each type of the vocabulary, in the order of the source.
func words(t *testing.T) map[string][]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "../../kyc/kyc.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			of := ""
			if id, ok := v.Type.(*ast.Ident); ok {
				of = id.Name
			}
			for _, x := range v.Values {
				if l, ok := x.(*ast.BasicLit); ok && l.Kind == token.STRING {
					w, err := strconv.Unquote(l.Value)
					if err != nil {
						t.Fatal(err)
					}
					all[of] = append(all[of], w)
				}
			}
		}
	}
	return all
}

func texts[T ~string](all []T) []string {
	out := make([]string, len(all))
	for i, x := range all {
		out[i] = string(x)
	}
	return out
}

// TestWords: the words that the schemas name are those of the code, in its order.
func TestWords(t *testing.T) {
	update, change, code := open(t, "update.schema.json"), open(t, "change.schema.json"), words(t)
	f := func(s schema, path string, want []string) {
		t.Helper()
		if got := s.examples(path); len(want) == 0 || !slices.Equal(got, want) {
			t.Errorf("%s: the schema says %v, the code %v", path, got, want)
		}
	}
	statuses, checks := texts(kyc.Statuses), texts(kyc.Checks)
	f(update, "status", statuses)
	f(change, "status", statuses)
	f(change, "previous_status", statuses)
	f(update, "check", checks)
	f(change, "check.type", checks)
	f(update, "reasons.code", texts(kyc.Priority))
	f(change, "reasons.code", texts(kyc.Priority))
	f(update, "kind", code["Kind"])
	f(update, "scope", code["Scope"])
	f(update, "authenticity", code["Authenticity"])
	f(update, "occurred_at_origin", code["Origin"])
	f(update, "expiry_kind", code["ExpiryKind"])
	f(update, "subject.kind", []string{kyc.Individual, kyc.Company})
	f(change, "subject.kind", []string{kyc.Individual, kyc.Company})
	var claims []string
	for _, s := range kyc.Statuses {
		u := kyc.Update{Status: s, Terminal: s == kyc.Rejected, Authenticity: kyc.Network}
		if c := u.Gate(kyc.Signed).ClaimedStatus; c != "" {
			claims = append(claims, string(c))
		}
	}
	f(update, "claimed_status", claims)
}
