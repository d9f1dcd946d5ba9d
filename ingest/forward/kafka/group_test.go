package kafka

import (
	"bytes"
	"slices"
	"testing"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/consumer"
)

// FuzzShares: what other members say is read as it was written, and nothing that they may say hurts.
func FuzzShares(f *testing.F) {
	said, err := protocol.Marshal(0, consumer.Subscription{Topics: []string{"a", "kyc"}, UserData: []byte("warm")})
	if err != nil || string(userData(said)) != "warm" {
		f.Fatal(err, said)
	}
	given, err := protocol.Marshal(0, consumer.Assignment{AssignedPartitions: []consumer.TopicPartition{{Topic: "a", Partitions: []int32{7}}, {Topic: "kyc", Partitions: []int32{3, 1}}}})
	if err != nil {
		f.Fatal(err)
	}
	if ps, whole := assigned(given, "kyc"); !whole || !slices.Equal(ps, []int32{3, 1}) {
		f.Fatal(ps, whole)
	}
	if _, whole := assigned(given[:20], "kyc"); whole || userData(said[:12]) != nil {
		f.Fatal("what is cut off is read")
	}
	f.Add(said)
	f.Add(given)
	f.Fuzz(func(t *testing.T, b []byte) {
		if got := userData(b); !bytes.Contains(b, got) {
			t.Errorf("%q of %q", got, b)
		}
		if ps, _ := assigned(b, "kyc"); 4*len(ps) > len(b) {
			t.Errorf("%d partitions of %d bytes", len(ps), len(b))
		}
	})
}
