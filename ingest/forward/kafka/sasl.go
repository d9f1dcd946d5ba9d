package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// mechanisms are the ones there are; Kafka calls them the same in upper case.
var mechanisms = []string{"plain", "scram-sha-256", "scram-sha-512"}

// mechanism implements sasl.Mechanism. It asks for the password anew at each connection.
type mechanism struct{ o SASL }

func newMechanism(o SASL) (*mechanism, error) {
	switch {
	case !slices.Contains(mechanisms, o.Mechanism):
		return nil, fmt.Errorf("kafka.sasl.mechanism: %q is none of %s", o.Mechanism, strings.Join(mechanisms, ", "))
	case o.User == "" || o.Password == nil:
		return nil, errors.New("kafka.sasl: a user and a password are needed")
	}
	return &mechanism{o}, nil
}

// Name implements sasl.Mechanism.
func (m *mechanism) Name() string { return strings.ToUpper(m.o.Mechanism) }

// Start implements sasl.Mechanism.
func (m *mechanism) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	if m.o.Mechanism == "plain" {
		return plain.Mechanism{Username: m.o.User, Password: m.o.Password()}.Start(ctx)
	}
	algorithm := scram.SHA256
	if m.o.Mechanism == "scram-sha-512" {
		algorithm = scram.SHA512
	}
	inner, err := scram.Mechanism(algorithm, m.o.User, m.o.Password())
	if err != nil {
		return nil, nil, errCharacters // what err says quotes them
	}
	state, first, err := inner.Start(ctx)
	return conversation{state}, first, err
}

// conversation is a SCRAM conversation whose errors can be told from others.
type conversation struct{ sasl.StateMachine }

// Next implements sasl.StateMachine.
func (s conversation) Next(ctx context.Context, challenge []byte) (bool, []byte, error) {
	done, next, err := s.StateMachine.Next(ctx, challenge)
	if err != nil {
		return false, nil, errConversation // what err says may quote the challenge
	}
	return done, next, nil
}

var (
	errCharacters   = errors.New("the user or the password has characters that SCRAM has no place for")
	errConversation = errors.New("the broker's answer does not fit the password")
)
