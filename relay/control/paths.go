package control

import (
	"net/http"
	"strings"
)

// verbatim takes the segments of a call's path as they were sent. A subject may be called "." or
// "..", and its partner's id of it need not be one that a file system likes; net/http would take
// such a segment for a step up and answer with a redirect to somebody else's path. Nothing here is
// a file, so a dot segment is a name like any other.
func verbatim(req *http.Request) *http.Request {
	path := req.URL.EscapedPath()
	if !strings.Contains(path, "/.") {
		return req
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if s == "." || s == ".." {
			segments[i] = strings.ReplaceAll(s, ".", "%2E")
		}
	}
	u := *req.URL
	u.RawPath = strings.Join(segments, "/") // Path stays: it is what this decodes to
	r := *req
	r.URL = &u
	return &r
}
