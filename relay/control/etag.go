package control

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"countersign/relay/registry"
)

// tagged is an answer about one thing that says which state of it is shown.
type tagged interface{ etag() string }

// versionTag is the ETag of what is kept in the file.
func versionTag(number uint64) string { return `"v` + strconv.FormatUint(number, 10) + `"` }

// declaredTag is the ETag of what stands in the config.
func declaredTag(view any) string {
	b, err := json.Marshal(view)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return `"c` + hex.EncodeToString(sum[:8]) + `"`
}

// oneThing reports whether an answer is about one thing.
func oneThing(answer any) bool {
	if _, ok := answer.(stream); ok {
		return false
	}
	return !strings.HasPrefix(reflect.TypeOf(answer).Name(), "List[")
}

// tagOf is the ETag of what has a version, and else stands in the config.
func tagOf(version uint64, view any) string {
	if version > 0 {
		return versionTag(version)
	}
	return declaredTag(view)
}

// expects is the condition of a call that changes something: If-Match names the state that the
// caller has seen. Nil: any will do.
func expects(req *http.Request) func(registry.Version) bool {
	wanted := req.Header.Values("If-Match")
	if len(wanted) == 0 {
		return nil
	}
	return func(v registry.Version) bool {
		tag := versionTag(v.Number)
		for one := range strings.SplitSeq(strings.Join(wanted, ","), ",") {
			if one = strings.TrimSpace(one); one == "*" || one == tag {
				return true
			}
		}
		return false
	}
}
