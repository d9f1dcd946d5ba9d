package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// topicLine is one line of the topics' ledger: one record, written when it was read.
type topicLine struct {
	T         int64  `json:"t"` // unix nanoseconds
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Key       string `json:"key"`
	ID        string `json:"id"`   // ce_id
	Type      string `json:"type"` // ce_type
	Subject   string `json:"subject"`
	Status    string `json:"status"`
	Seq       uint64 `json:"seq"`  // of a change
	At        int64  `json:"at"`   // provider time, unix milliseconds
	Body      string `json:"body"` // of an update: the first half of the callback's SHA-256
	SHA       string `json:"sha"`  // of the value
	Core      string `json:"core"` // of the value without what differs each time a callback is taken
	Bad       string `json:"bad"`  // what is wrong with its headers or its form; empty: nothing
}

// recordValue is what is looked at of an update or a change.
type recordValue struct {
	ID         string    `json:"id"`
	Kind       string    `json:"kind"`
	Type       string    `json:"type"`
	Sequence   uint64    `json:"sequence"`
	Partner    string    `json:"partner"`
	Status     string    `json:"status"`
	OccurredAt time.Time `json:"occurred_at"`
	ReceivedAt time.Time `json:"received_at"`
	BodySHA256 string    `json:"body_sha256"`
	Subject    struct {
		ID string `json:"id"`
	} `json:"subject"`
}

// perTaking is what an update says of the request that brought it. A callback that comes twice is
// one update, taken at two moments.
var perTaking = regexp.MustCompile(`,"(?:received_at|traceparent)":"[^"]*"`)

// read fills l with a record.
func (l *topicLine) read(r *kgo.Record, now time.Time) {
	*l = topicLine{T: now.UnixNano(), Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: string(r.Key), SHA: digest(r.Value)}
	h := map[string]string{}
	for i := range r.Headers {
		if _, twice := h[r.Headers[i].Key]; twice {
			l.Bad = "the header " + r.Headers[i].Key + " stands there twice"
		}
		h[r.Headers[i].Key] = string(r.Headers[i].Value)
	}
	l.ID, l.Type = h["ce_id"], h["ce_type"]
	var v recordValue
	if err := json.Unmarshal(r.Value, &v); err != nil {
		l.Bad = "the value is not the JSON it should be: " + err.Error()
		return
	}
	l.Core = digest(perTaking.ReplaceAll(r.Value, nil))
	l.Subject, l.Status, l.Seq, l.Body = v.Subject.ID, v.Status, v.Sequence, v.BodySHA256
	if len(l.Body) > 2*16 {
		l.Body = l.Body[:2*16]
	}
	if !v.OccurredAt.IsZero() {
		l.At = v.OccurredAt.UnixMilli()
	}
	if err := l.check(h, &v); err != nil {
		l.Bad = err.Error()
	}
}

// check holds a record against what the topics promise: CloudEvents in binary mode, and headers
// that repeat what the value says.
func (l *topicLine) check(h map[string]string, v *recordValue) error {
	want := map[string]string{"ce_specversion": "1.0", "ce_id": v.ID, "ce_type": v.Type}
	if l.Topic == topicUpdates {
		want["ce_type"] = "kyc.update." + v.Kind
	}
	if v.Partner != "" && v.Subject.ID != "" {
		want["ce_subject"] = v.Partner + "/" + v.Subject.ID
		if l.Key != want["ce_subject"] {
			return fmt.Errorf("the key is %q, not %q", l.Key, want["ce_subject"])
		}
	}
	for name, text := range want {
		if h[name] != text || text == "" {
			return fmt.Errorf("the header %s is %q, not %q", name, h[name], text)
		}
	}
	if !strings.HasPrefix(h["content-type"], "application/json") {
		return fmt.Errorf("the header content-type is %q", h["content-type"])
	}
	if h["ce_source"] == "" {
		return errors.New("there is no header ce_source")
	}
	if t, there := h["traceparent"]; there && len(t) != 55 {
		return fmt.Errorf("the header traceparent is %q", t)
	}
	at := v.OccurredAt
	if at.IsZero() {
		at = v.ReceivedAt
	}
	if got, err := time.Parse(time.RFC3339Nano, h["ce_time"]); err != nil || !got.Equal(at) {
		return fmt.Errorf("the header ce_time is %q, not %q", h["ce_time"], at.Format(time.RFC3339Nano))
	}
	return nil
}

func (l *ledger) topic(t *topicLine) { l.write(t.appendTo) }

func (l *topicLine) appendTo(b []byte) []byte {
	b = strconv.AppendInt(append(b, `{"t":`...), l.T, 10)
	b = appendString(append(b, `,"topic":`...), l.Topic)
	b = strconv.AppendInt(append(b, `,"partition":`...), int64(l.Partition), 10)
	b = strconv.AppendInt(append(b, `,"offset":`...), l.Offset, 10)
	b = appendString(append(b, `,"key":`...), l.Key)
	b = appendString(append(b, `,"id":`...), l.ID)
	b = appendString(append(b, `,"type":`...), l.Type)
	b = appendString(append(b, `,"subject":`...), l.Subject)
	b = appendString(append(b, `,"status":`...), l.Status)
	b = strconv.AppendUint(append(b, `,"seq":`...), l.Seq, 10)
	b = strconv.AppendInt(append(b, `,"at":`...), l.At, 10)
	b = appendString(append(b, `,"body":`...), l.Body)
	b = appendString(append(b, `,"sha":`...), l.SHA)
	b = appendString(append(b, `,"core":`...), l.Core)
	b = appendString(append(b, `,"bad":`...), l.Bad)
	return append(b, '}')
}
