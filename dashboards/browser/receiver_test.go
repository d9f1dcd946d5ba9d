package browser

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// receiver is a partner's own HTTP server. It keeps all that comes, and answers each path as it is
// told.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex // guards what follows
	came    []arrival
	answers map[string]func(arrival) (int, string) // by path; none: 200
}

// arrival is a webhook as it came.
type arrival struct {
	path   string
	header http.Header
	body   string
	id     string // webhook-id
	kind   string // type
	person string
	status string
	seq    int
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{answers: map[string]func(arrival) (int, string){}}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	var e struct {
		Type string
		Data struct {
			Status   string
			Sequence int
			Subject  struct{ ID string }
		}
	}
	_ = json.Unmarshal(body, &e)
	a := arrival{req.URL.Path, req.Header.Clone(), string(body), req.Header.Get("Webhook-Id"), e.Type, e.Data.Subject.ID, e.Data.Status, e.Data.Sequence}
	r.mu.Lock()
	r.came = append(r.came, a)
	answer := r.answers[a.path]
	r.mu.Unlock()
	if answer == nil {
		return
	}
	code, text := answer(a)
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text)
}

// answer is how a path answers from now on; nil: 200.
func (r *receiver) answer(path string, as func(arrival) (int, string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers[path] = as
}

func (r *receiver) fails(path string, code int, text string) {
	r.answer(path, func(arrival) (int, string) { return code, text })
}

// at is what came to a path, of a person if one is named, in order.
func (r *receiver) at(path, person string) (list []arrival) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.came {
		if a.path == path && (person == "" || a.person == person) {
			list = append(list, a)
		}
	}
	return list
}

// genuine verifies as a partner does, with a shared secret: docs/FORMATS.md says how.
func (a *arrival) genuine(secret string) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) == 0 {
		return false
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", a.id, a.header.Get("Webhook-Timestamp"), a.body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	return slices.ContainsFunc(strings.Fields(a.header.Get("Webhook-Signature")), func(given string) bool { return hmac.Equal([]byte(given), []byte(want)) })
}

// endpoint makes an endpoint of acme that is sent to a path of the receiver, and returns its key.
func (g *gateway) endpoint(r *receiver, id, more string) (secret string) {
	g.t.Helper()
	var made struct{ Key string }
	g.call(http.MethodPost, "/v1/partners/acme/endpoints", fmt.Sprintf(`{"id":%q,"url":"%s/%s"%s}`, id, r.URL, id, more), &made)
	return made.Key
}
