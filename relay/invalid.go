package relay

import (
	"errors"
	"fmt"

	"countersign/kyc"
)

var (
	// ErrInvalid says that an order cannot be carried out as it stands. What wraps it is a
	// FieldError.
	ErrInvalid = errors.New("invalid")
	// ErrConflict says that a ref belongs to another subject already.
	ErrConflict = errors.New("belongs to another subject")
	// ErrContested says that somebody else has registered a ref too, so that it leads to nobody
	// until an operator has settled whose it is. It is an ErrConflict.
	ErrContested = fmt.Errorf("%w, or to none: it is registered more than once, and what comes for it is held until an operator has settled whose it is", ErrConflict)
	// ErrKeyUsed says that an idempotency key stands for another order already.
	ErrKeyUsed = errors.New("the Idempotency-Key was used for another request: use a new key for each request")
	// ErrTooMany says that a partner's token has registered, driven or ordered as much as one
	// partner may.
	ErrTooMany = errors.New("too many")
	// ErrNoCheck says that a subject has no such check. It comes with outbox.ErrNotFound.
	ErrNoCheck = errors.New("no such check")
)

// FieldError is what is wrong with one field of an order, under the name the field has in the API.
// It wraps ErrInvalid.
type FieldError struct {
	Field, Problem string
}

// Error implements error.
func (e *FieldError) Error() string { return e.Field + " " + e.Problem }

// Unwrap implements the wrapping of ErrInvalid.
func (e *FieldError) Unwrap() error { return ErrInvalid }

func invalid(field, problem string) error { return &FieldError{field, problem} }

// name checks a name that others give: of a subject, a source, a ref, a person who orders
// something.
func name(field, s string) error {
	if problem := kyc.IDProblem(s); problem != "" {
		return invalid(field, problem)
	}
	return nil
}

const maxName = kyc.MaxID
