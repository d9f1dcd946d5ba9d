package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"

	"countersign/ingest/forward"
)

// Probe reports whether a broker of Options.Brokers takes us: nil as soon as one does, else the
// most telling *forward.Trouble. It writes nothing.
func (c *Client) Probe(ctx context.Context) error {
	s, _, err := c.ask(ctx, []string{})
	if err != nil {
		return err
	}
	s.Close()
	return nil
}

// session is a connection of its own to one broker, beside the transport's, for what must be fresh
// and for errors in full.
type session struct {
	*protocol.Conn
	addr string
}

// Close ends the session.
func (s *session) Close() { s.Conn.Close() } //nolint:errcheck,gosec // nothing was written

// roundTrip is one request, until ctx ends.
func (s *session) roundTrip(ctx context.Context, req protocol.Message) (protocol.Message, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(dialTimeout)
	}
	if err := s.SetDeadline(deadline); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { s.SetDeadline(time.Unix(1, 0)) })() //nolint:errcheck,gosec // if it cannot be set, the connection is gone
	res, err := s.RoundTrip(req)
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return nil, ctx.Err()
	}
	return res, err
}

// telling lists classes of trouble, those first that say more about what is to be done.
var telling = []forward.Class{forward.BadAuth, forward.BadTLS, forward.NotKafka, forward.Denied, forward.OtherClass, forward.TimedOut, forward.Unreachable}

// ask is a session with the first broker that takes us, and what it says of topics. An error is the
// most telling *forward.Trouble.
func (c *Client) ask(ctx context.Context, topics []string) (*session, *metadata.Response, error) {
	var worst *forward.Trouble
	for _, addr := range c.brokers {
		s, m, trouble := c.meet(ctx, addr, topics)
		if trouble == nil {
			return s, m, nil
		}
		if worst == nil || slices.Index(telling, trouble.Class) < slices.Index(telling, worst.Class) {
			worst = trouble
		}
		if ctx.Err() != nil {
			break
		}
	}
	if len(c.brokers) > 1 {
		worst.Text += " (and no other broker of kafka.brokers takes us)"
	}
	return nil, nil, worst
}

// meet is a session with one broker, and what it says of topics.
func (c *Client) meet(ctx context.Context, addr string, topics []string) (*session, *metadata.Response, *forward.Trouble) {
	s, trouble := c.session(ctx, addr)
	if trouble != nil {
		return nil, nil, trouble
	}
	m, err := s.metadata(ctx, topics)
	switch {
	case err == nil:
		return s, m, nil
	case hungUp(err) && c.sasl == nil: // after it told its versions, which anybody may ask
		trouble = because(forward.BadAuth, err, "%s hangs up at the first request: it wants a user, set kafka.sasl", addr)
	default:
		trouble = c.explain(err, addr)
	}
	s.Close()
	return nil, nil, trouble
}

// metadata asks the broker itself.
func (s *session) metadata(ctx context.Context, topics []string) (*metadata.Response, error) {
	res, err := s.roundTrip(ctx, &metadata.Request{TopicNames: topics, IncludeTopicAuthorizedOperations: true})
	if err != nil {
		return nil, err
	}
	return res.(*metadata.Response), nil
}

// session connects, agrees on versions and signs in: what the transport does too, with every error
// kept.
func (c *Client) session(ctx context.Context, addr string) (*session, *forward.Trouble) {
	if c.closed.Load() {
		return nil, c.explain(errClosed, addr)
	}
	opening, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	raw, err := c.dialer.dial(opening, "tcp", addr)
	if err != nil {
		if maybePlain(err) && c.speaksPlain(ctx, addr) {
			return nil, because(forward.BadTLS, err, "%s speaks no TLS: remove kafka.tls, or name the port that does", addr)
		}
		return nil, c.explain(err, addr)
	}
	s := &session{protocol.NewConn(raw, clientID), addr}
	asked := raw.(*conn).asked.Load()
	if err = s.versions(opening); err != nil {
		s.Close()
		switch {
		case c.o.TLS == nil && silent(err) && c.speaksTLS(ctx, addr):
			return nil, because(forward.BadTLS, err, "%s wants TLS: add kafka.tls", addr)
		case asked && !c.dialer.withPair && (hungUp(err) || remoteAlert(err) != ""): // with TLS 1.3 that is told after the handshake
			return nil, wantsCertificate(err, addr)
		}
		return nil, c.explain(err, addr)
	}
	if c.sasl == nil {
		return s, nil
	}
	if trouble := c.signIn(opening, s); trouble != nil {
		s.Close()
		return nil, trouble
	}
	return s, nil
}

// versions agrees with the broker on the version of each API.
func (s *session) versions(ctx context.Context) error {
	res, err := s.roundTrip(ctx, new(apiversions.Request))
	if err != nil {
		return err
	}
	known := res.(*apiversions.Response)
	if known.ErrorCode != 0 {
		return kafkago.Error(known.ErrorCode)
	}
	chosen := make(map[protocol.ApiKey]int16, len(known.ApiKeys))
	for _, k := range known.ApiKeys {
		key := protocol.ApiKey(k.ApiKey)
		chosen[key] = key.SelectVersion(k.MinVersion, k.MaxVersion)
	}
	s.SetVersions(chosen)
	return nil
}

// signIn does SASL.
func (c *Client) signIn(ctx context.Context, s *session) *forward.Trouble {
	res, err := s.roundTrip(ctx, &saslhandshake.Request{Mechanism: c.sasl.Name()})
	if err != nil {
		return c.explain(err, s.addr)
	}
	if h := res.(*saslhandshake.Response); h.ErrorCode != 0 {
		return c.noMechanism(kafkago.Error(h.ErrorCode), s.addr, h.Mechanisms)
	}
	state, answer, err := c.sasl.Start(ctx)
	for done := false; !done; {
		if err != nil {
			return c.explain(err, s.addr)
		}
		if res, err = s.roundTrip(ctx, &saslauthenticate.Request{AuthBytes: answer}); err != nil {
			if hungUp(err) { // as some brokers say no
				err = kafkago.SASLAuthenticationFailed
			}
			return c.explain(err, s.addr)
		}
		r := res.(*saslauthenticate.Response)
		if r.ErrorCode != 0 {
			return c.explain(kafkago.Error(r.ErrorCode), s.addr)
		}
		if done, answer, err = state.Next(ctx, r.AuthBytes); err != nil {
			return c.explain(err, s.addr)
		}
	}
	return nil
}

// speaksPlain reports whether Kafka answers there without TLS.
func (c *Client) speaksPlain(ctx context.Context, addr string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	d := &dialer{net: c.dialer.net, open: c.dialer.open}
	raw, err := d.dial(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	s := &session{protocol.NewConn(raw, clientID), addr}
	defer s.Close()
	return s.versions(ctx) == nil
}

// speaksTLS reports whether TLS is spoken there, whatever comes of it.
func (c *Client) speaksTLS(ctx context.Context, addr string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	d := &dialer{net: c.dialer.net, open: c.dialer.open, tls: &tls.Config{MinVersion: tls.VersionTLS12}}
	d.pair = func() (*tls.Certificate, error) { return new(tls.Certificate), nil }
	raw, err := d.dial(ctx, "tcp", addr)
	if err == nil {
		raw.Close() //nolint:errcheck,gosec // nothing was written
	}
	var untrusted *tls.CertificateVerificationError
	return err == nil || errors.As(err, &untrusted) || remoteAlert(err) != ""
}

// maybePlain reports whether a TLS handshake ended as it does where no TLS is spoken.
func maybePlain(err error) bool {
	var open *openError
	var header tls.RecordHeaderError
	return errors.As(err, &open) && open.stage == stageTLS && (errors.As(err, &header) || silent(err))
}

// silent reports whether nothing was answered at all: hung up, or no word in time.
func silent(err error) bool {
	var network net.Error
	return hungUp(err) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network) && network.Timeout()
}
