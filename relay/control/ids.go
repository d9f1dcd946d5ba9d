package control

import (
	"fmt"
	"net/http"
	"strings"

	"countersign/kyc"
)

// maxParam is how long a value in a query may be: of a question's id, which names a source, a
// resource and a ref of two ids.
const maxParam = 4 * kyc.MaxID

// ids holds every id in a call's path and query to the one rule there is (kyc.IDProblem), before
// the call does anything: no route reads ids of its own.
func (r Route) ids(req *http.Request) error {
	for _, wildcard := range []string{"partner", "id", "key"} {
		if !strings.Contains(r.Pattern, "{"+wildcard+"}") {
			continue
		}
		if err := idIn(wildcard, req.PathValue(wildcard)); err != nil {
			return err
		}
	}
	for name, values := range req.URL.Query() {
		for _, v := range values {
			most := maxParam
			if name == "cursor" {
				most = maxCursor
			}
			if len(v) > most || !kyc.IsText(v) {
				return bad(bounded(name), fmt.Sprintf("%s is longer than %d bytes, or has characters that are no text", bounded(name), most))
			}
		}
	}
	if tag := req.Header.Get("If-Match"); len(tag) > maxParam {
		return bad("If-Match", "If-Match is longer than 1024 bytes")
	}
	if key := req.Header.Get("Idempotency-Key"); len(key) > kyc.MaxID || !kyc.IsText(key) {
		return bad("Idempotency-Key", "Idempotency-Key is longer than 256 bytes, or has characters that are no text")
	}
	return nil
}

// idIn holds an id to the rule, wherever it stands. A partner's has no slash either, for that ends
// it in the name of a subject.
func idIn(field, id string) error {
	problem := kyc.IDProblem(id)
	if problem == "" && field == "partner" && strings.Contains(id, "/") {
		problem = "has a slash"
	}
	if problem != "" {
		return bad(field, field+" "+problem)
	}
	return nil
}
