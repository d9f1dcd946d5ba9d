package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"countersign/relay/format"
	"countersign/signing"
)

// proof checks the signature of one delivery.
type proof func(h *fasthttp.RequestHeader, body []byte, now time.Time) bool

// newProof returns the check of a format. That of standard is made here of crypto/hmac alone, so
// that the gateway's signer is not judged by itself.
func newProof(name, key string) (proof, error) {
	if name == "standard" {
		return standardProof(key)
	}
	f, ok := format.ByName(name)
	if !ok {
		return nil, fmt.Errorf("there is no format %q", name)
	}
	k, err := signing.ParseKey(key)
	if err != nil {
		return nil, fmt.Errorf("format %s: %w", name, err)
	}
	return func(h *fasthttp.RequestHeader, body []byte, now time.Time) bool {
		all := http.Header{}
		for k, v := range h.All() {
			all.Add(string(k), string(v))
		}
		return f.Scheme.Verify(all, body, signing.Keyring{k}, now) == nil
	}, nil
}

// freshFor is by how much the timestamp of a standard webhook may differ from our clock.
const freshFor = 5 * time.Minute

type standardMAC struct {
	hash.Hash
	sum  []byte
	text []byte
}

// standardProof follows the specification of Standard Webhooks: HMAC-SHA-256 of id.timestamp.body,
// base64, one of the v1 entries of the header.
func standardProof(key string) (proof, error) {
	secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(key, "whsec_"))
	if err != nil || len(secret) < 24 {
		return nil, errors.New("the key is not a Standard Webhooks secret: whsec_ and base64 of 24 bytes or more")
	}
	macs := sync.Pool{New: func() any { return &standardMAC{Hash: hmac.New(sha256.New, secret)} }}
	dot := []byte(".")
	return func(h *fasthttp.RequestHeader, body []byte, now time.Time) bool {
		id, at, sigs := h.Peek("webhook-id"), h.Peek("webhook-timestamp"), h.Peek("webhook-signature")
		seconds, err := strconv.ParseInt(string(at), 10, 64)
		if err != nil || len(id) == 0 || now.Sub(time.Unix(seconds, 0)).Abs() > freshFor {
			return false
		}
		m := macs.Get().(*standardMAC)
		defer macs.Put(m)
		m.Reset()
		for _, b := range [][]byte{id, dot, at, dot, body} {
			_, _ = m.Write(b) // a hash never fails
		}
		m.sum = m.Sum(m.sum[:0])
		m.text = base64.StdEncoding.AppendEncode(append(m.text[:0], "v1,"...), m.sum)
		for entry := range strings.FieldsSeq(string(sigs)) {
			if hmac.Equal([]byte(entry), m.text) {
				return true
			}
		}
		return false
	}, nil
}
