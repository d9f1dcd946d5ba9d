package group

import "encoding/json"

// Member is a relay, as whoever shares the partitions out needs to know it.
type Member struct {
	ID         string          `json:"-"` // given by the group
	Node       string          `json:"node"`
	Generation int32           `json:"generation"` // of the group's assignment under which it held what it held; 0: none
	Held       []int32         `json:"held"`       // partitions that it owned last
	Warm       map[int32]int64 `json:"warm"`       // partitions of which it has a file, each with the offset that the file has come to
}

// memberFormat is the format that is written.
const memberFormat = 1

type memberText struct {
	V int `json:"v"`
	Member
}

// Encode is what a member tells whoever shares out.
func (m *Member) Encode() []byte {
	b, err := json.Marshal(memberText{memberFormat, *m})
	if err != nil {
		panic("a member cannot be written: " + err.Error()) // it is text and numbers
	}
	return b
}

// DecodeMember reads what a member told. One that cannot be understood holds nothing and is warm in
// nothing; it is given its share all the same.
func DecodeMember(id string, b []byte) Member {
	var m memberText
	if err := json.Unmarshal(b, &m); err != nil || m.V != memberFormat {
		return Member{ID: id}
	}
	m.ID = id
	return m.Member
}
