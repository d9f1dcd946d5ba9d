package group

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// maxMetadata is how many bytes brokers keep beside an offset (offset.metadata.max.bytes).
const maxMetadata = 4096

// Watermark is what all checkpoints of one partition together cover: an offset that is committed,
// and metadata beside it. It is durable once its commit was accepted, and true of all that the group
// has ever known: the greatest of each number counts.
type Watermark struct {
	Updates  int64     // the next update to fold: the committed offset
	Receipts int64     // the next receipt to read
	Version  Version   // of the newest marker that was folded
	Mark     uint64    // the generation whose round of checkpoints this is
	Taken    uint64    // the last generation that was given out, Mark at least
	At       time.Time // when, by the owner's clock; for people
	Node     string    // who; for people
}

// Version is what partitions fold by.
type Version struct {
	Registry uint64 `json:"registry"` // of the registry
	Rules    uint64 `json:"rules"`    // of the fold itself
}

// watermarkFormat is the format that is written, and the only one that is read yet.
const watermarkFormat = 1

// metadata is a Watermark without its offset. What is not known here is refused: whoever takes over
// commits everything again as it was.
type metadata struct {
	V        int       `json:"v"`
	Receipts int64     `json:"r"`
	Version  Version   `json:"version"`
	Mark     uint64    `json:"mark"`
	Taken    uint64    `json:"taken"`
	At       time.Time `json:"at"`
	Node     string    `json:"node"`
}

// Metadata is what is committed beside Updates, as text.
func (w *Watermark) Metadata() (string, error) {
	m := metadata{watermarkFormat, w.Receipts, w.Version, w.Mark, w.Taken, w.At.UTC(), w.Node}
	if err := m.check(); err != nil {
		return "", fmt.Errorf("watermark: %w", err)
	}
	b, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("watermark: %w", err)
	}
	if len(b) > maxMetadata {
		return "", fmt.Errorf("watermark: %d bytes are more than the %d that brokers keep: is the node's name too long?", len(b), maxMetadata)
	}
	return string(b), nil
}

// ParseWatermark reads a commit: its offset, and what stands beside it.
func ParseWatermark(updates int64, text string) (Watermark, error) {
	d := json.NewDecoder(bytes.NewBufferString(text))
	d.DisallowUnknownFields()
	var m metadata
	err := d.Decode(&m)
	if _, end := d.Token(); err == nil && !errors.Is(end, io.EOF) {
		err = errors.New("something stands behind it")
	}
	switch {
	case updates < 0:
		return Watermark{}, fmt.Errorf("watermark: offset %d is none", updates)
	case err != nil:
		return Watermark{}, fmt.Errorf("watermark: %w", err)
	}
	if err := m.check(); err != nil {
		return Watermark{}, fmt.Errorf("watermark: %w", err)
	}
	return Watermark{updates, m.Receipts, m.Version, m.Mark, m.Taken, m.At.UTC(), m.Node}, nil
}

func (m *metadata) check() error {
	switch {
	case m.V != watermarkFormat:
		return fmt.Errorf("format %d is not known here, which knows %d: another version of the gateway, or another program, committed it", m.V, watermarkFormat)
	case m.Receipts < 0:
		return fmt.Errorf("receipt %d is none", m.Receipts)
	case m.Mark > m.Taken:
		return fmt.Errorf("a round of generation %d, and the last one given out is %d", m.Mark, m.Taken)
	}
	return nil
}
