package registry

import "encoding/hex"

// digestBytes is how much of a digest is written: enough that no two are ever the same.
const digestBytes = 16

// Digest is what stands for something in the audit trail and in the log that may not be named
// there, because it is a person or tells of one: KIND:HEX, an HMAC under a key that is made of the
// key file in the data directory. The same parts always give the same; who has not that file learns
// nothing from it.
func (r *Registry) Digest(kind string, parts ...string) string {
	if r == nil || r.o.Sealer == nil {
		return kind + ":hidden"
	}
	sum, err := r.o.Sealer.Digest(kind, parts...)
	if err != nil {
		return kind + ":hidden"
	}
	return kind + ":" + hex.EncodeToString(sum[:digestBytes])
}

// PersonDigest is the Digest of a subject, by any id that its partner has or had, in live and in
// test mode. It is all that is left of a person in the audit trail, and all that stays there when
// everything else about them is erased.
func (r *Registry) PersonDigest(partner, subject string) string {
	if r != nil {
		partner = r.Read().Kept(partner)
	}
	return r.Digest("person", partner, subject)
}

// RefDigest is the Digest of a provider's ref.
func (r *Registry) RefDigest(source, ref string) string { return r.Digest("ref", source, ref) }
