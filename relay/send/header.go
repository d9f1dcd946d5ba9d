package send

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
)

// Header is one that every request to an endpoint carries. Its value may be a secret: it never
// prints, and lives in a closure, out of reach of reflection.
type Header struct {
	Name  string
	value func() string
}

// NewHeader returns a header. CheckHeader says whether it may be sent.
func NewHeader(name, value string) Header {
	return Header{Name: name, value: func() string { return value }}
}

// Size is how many bytes it takes in a request.
func (h Header) Size() int { return len(h.Name) + len(": \r\n") + len(h.value()) }

// Format writes the name, whatever the verb.
func (h Header) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, h.Name+": (not shown)") }

// LogValue returns the name.
func (h Header) LogValue() slog.Value { return slog.StringValue(h.Name + ": (not shown)") }

// The bounds of an endpoint's headers.
const (
	MaxHeaders     = 32
	MaxHeaderValue = 4 << 10
	MaxHeaderBytes = 16 << 10 // over all of them: servers refuse more
)

// HeaderError says what is wrong with a header, and what to do about it. It never holds the value.
type HeaderError struct{ Problem, Remedy string }

// Error returns both halves.
func (e *HeaderError) Error() string { return e.Problem + "; " + e.Remedy }

// owned are headers that HTTP or this client sets, or that would change what is sent or how it is
// answered.
var owned = []string{
	"Accept-Encoding", "Connection", "Expect", "Host", "Idempotency-Key", "Keep-Alive", "Te", "Traceparent", "Tracestate", "Trailer", "Transfer-Encoding", "Upgrade",
	"User-Agent", "X-Idempotency-Key",
}

// CheckHeader finds headers that an endpoint may not have of its own; its errors are *HeaderError.
// A format knows which it sets, and they are refused beside these.
func CheckHeader(name, value string) error {
	canonical := http.CanonicalHeaderKey(name)
	switch {
	case name == "" || len(name) > 64 || strings.Trim(name, tokenBytes) != "":
		return &HeaderError{"is no name of a header", "use 1 to 64 letters, digits and dashes, like X-Env"}
	case slices.Contains(owned, canonical), strings.HasPrefix(canonical, "Content-"), strings.HasPrefix(canonical, "Proxy-"):
		return &HeaderError{"is a header that HTTP or this program sets itself", "remove it"}
	case strings.HasPrefix(canonical, "Webhook-"):
		return &HeaderError{"is a header of the signature", "remove it"}
	case len(value) > MaxHeaderValue:
		return &HeaderError{"has a value of over 4 KiB", "shorten it"}
	case value == "" || value != strings.TrimSpace(value):
		return &HeaderError{"has an empty value, or blanks or newlines around it", "write the value alone"}
	}
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' {
			return &HeaderError{"has a value with control characters, or beyond ASCII", "use printable ASCII"}
		}
	}
	return nil
}

const tokenBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~"
