package provider

import (
	"cmp"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/kyc"
)

// sampleFiles holds testdata/<adapter>/samples/<event>.json: bodies as the provider sends them,
// with {{words}} where they differ from call to call.
//
//go:embed testdata/*/samples/*.json
var sampleFiles embed.FS

// SampleVars is what differs between two samples of the same event. All but Subject and At have a
// default made of these two.
type SampleVars struct {
	Subject     string    // our own id of the person
	ProviderRef string    // the provider's id of the person
	SessionRef  string    // the provider's id of the inspection, inquiry or request
	EventID     string    // the provider's id of the event, where it has one
	At          time.Time // when it happened
	Revision    int       // of the object, where it counts
	Livemode    bool      // where the body says so
}

// SampleEvents lists the events an adapter has samples of, sorted; none for an adapter that does
// not exist.
func SampleEvents(adapter string) []string {
	files, err := fs.Glob(sampleFiles, path.Join("testdata", adapter, "samples", "*.json"))
	if err != nil {
		return nil
	}
	var events []string
	for _, f := range files {
		events = append(events, strings.TrimSuffix(path.Base(f), ".json"))
	}
	slices.Sort(events)
	return events
}

// Sample returns the body of a callback about this person, as the provider would send it. It is not
// signed: the adapter's scheme does that. event is one of SampleNames.
func Sample(adapter, event string, v SampleVars) (body []byte, err error) {
	if event, err = ResolveSample(adapter, event); err != nil {
		return nil, err
	}
	if v.Subject == "" || v.At.IsZero() {
		return nil, errors.New("a sample needs a subject and a time")
	}
	text, err := sampleFiles.ReadFile(path.Join("testdata", adapter, "samples", event+".json"))
	if err != nil {
		return nil, fmt.Errorf("read sample: %w", err)
	}
	return []byte(v.replacer(event).Replace(strings.TrimSuffix(string(text), "\n"))), nil
}

// replacer fills in the words of a sample. Texts are escaped as JSON strings, without their quotes.
func (v SampleVars) replacer(event string) *strings.Replacer {
	at := v.At.UTC()
	text := func(s string) string {
		b, err := json.Marshal(s)
		if err != nil { // a string always has a JSON form
			return ""
		}
		return string(b[1 : len(b)-1])
	}
	return strings.NewReplacer(
		"{{subject}}", text(v.Subject),
		"{{ref}}", text(cmp.Or(v.ProviderRef, "ref-"+v.Subject)),
		"{{session}}", text(cmp.Or(v.SessionRef, "session-"+v.Subject)),
		"{{event}}", text(cmp.Or(v.EventID, "evt-"+v.Subject+"-"+event+"-"+strconv.FormatInt(at.UnixMilli(), 10))),
		"{{revision}}", strconv.Itoa(max(v.Revision, 1)),
		"{{sandbox}}", strconv.FormatBool(!v.Livemode),
		"{{at}}", at.Format(time.RFC3339),
		"{{at_ms}}", at.Format("2006-01-02T15:04:05.000Z"),
		"{{at_zoned}}", at.Format("2006-01-02 15:04:05+0000"),
		"{{at_naive_ms}}", at.Format("2006-01-02 15:04:05.000"),
		"{{at_micro}}", at.Format("2006-01-02T15:04:05.000000Z"),
		"{{at_unix}}", strconv.FormatInt(at.Unix(), 10),
		"{{at_unix_ms}}", strconv.FormatInt(at.UnixMilli(), 10),
		"{{livemode}}", strconv.FormatBool(v.Livemode),
		"{{week_later}}", at.AddDate(0, 0, 7).Format(time.RFC3339),
		"{{year_later}}", kyc.AddMonths(at, 12).Format(time.RFC3339),
		"{{year_before}}", kyc.AddMonths(at, -12).Format(time.RFC3339),
	)
}
