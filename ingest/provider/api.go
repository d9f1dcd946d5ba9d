package provider

import (
	"encoding/base64"
	"errors"
	"time"

	"countersign/signing"
)

// API is how to ask a provider what it knows now. Like the rest of an adapter it is data and pure
// functions: somebody else calls, waits and retries.
type API struct {
	Doc         string // the provider's page on these calls
	Live        string // base URL of live mode; empty: every provider account has its own, and the source must name it
	Sandbox     string // of test mode; empty: the same as Live
	Credentials string // what the source's api.user and api.key are at this provider, in words
	// Authorize adds what proves who asks. It is called for every try, since some providers want
	// the time in it.
	Authorize func(c *Call, k Credentials, now time.Time) error
	// TokenURL is where OAuth2 client credentials are exchanged for a bearer token, beside the base
	// URL; then Authorize is nil. Nil: no OAuth2.
	TokenURL func(base string) string
	// Next names the call to make after the answers so far; ok is false once they are enough.
	Next func(q Fetch, answers [][]byte, o Options) (c Call, ok bool, err error)
	// Read makes of the answers what a callback with a verdict would have said.
	Read func(q Fetch, answers [][]byte, o Options) (Result, error)
	// Keys is where the provider publishes the keys of its callbacks; nil: it shares secrets
	// instead.
	Keys *PublishedKeys
}

// PublishedKeys is how to look up a key that a callback names.
type PublishedKeys struct {
	KeyID func(h signing.Header) (string, error) // the name, not yet proved; errors are signing's
	Call  func(kid string) (Call, error)
	// Plausible finds what is wrong with a callback whatever its key is: a time out of the
	// tolerance, a digest of another body. It keeps forgers from having keys looked up for nothing;
	// it proves nothing. Errors are signing's. Nil: nothing can be told without the key.
	Plausible func(h signing.Header, body []byte, o Options, now time.Time) error
	// Read makes of the answer a key of the scheme's keyring. An expired one proves nothing any
	// more.
	Read func(answer []byte) (jwk string, expired bool, err error)
}

// ErrNoKey says that a key which a callback names could not be had just now, so that nothing is
// known of the callback: the provider is asked to send it again.
var ErrNoKey = errors.New("the key cannot be had")

// Call is one HTTP request. Path begins with a slash; every part that comes from a body is escaped.
type Call struct {
	Method string
	Path   string
	Header map[string]string
	Body   []byte // JSON; nil: none
}

// Credentials are a source's account at the provider's API.
type Credentials struct {
	User string
	Key  signing.Key
}

// setHeader sets one header of a call.
func (c *Call) setHeader(name, value string) {
	if c.Header == nil {
		c.Header = map[string]string{}
	}
	c.Header[name] = value
}

// Base is the address of the API where the source names none; empty: it must.
func (a *API) Base(live bool) string {
	if !live && a.Sandbox != "" {
		return a.Sandbox
	}
	return a.Live
}

// BasicAuth authorizes with user and key as HTTP Basic.
func BasicAuth(c *Call, k Credentials, _ time.Time) error {
	return k.lend(func(secret string) {
		c.setHeader("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(k.User+":"+secret)))
	})
}

// keyHeader authorizes with the key in a header, after a fixed prefix.
func keyHeader(name, prefix string) func(*Call, Credentials, time.Time) error {
	return func(c *Call, k Credentials, _ time.Time) error {
		return k.lend(func(secret string) { c.setHeader(name, prefix+secret) })
	}
}

// lend shows the key to use, or fails if there is none.
func (k Credentials) lend(use func(secret string)) error {
	lent := false
	k.Key.With(func(secret []byte) { use(string(secret)); lent = true })
	if !lent {
		return errors.New("the source has no api.key")
	}
	return nil
}
