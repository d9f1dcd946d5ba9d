package relay

import "countersign/kyc"

// RoutingRef is the ref by which the person of an update is looked for first that does not say whose
// it is: the first of those that its provider gives to one person only, else the first there is; "":
// it has none. personal are the provider's, see Options.PersonRefs. Whatever else waits for the same
// person waits under the same ref, so Kafka keeps these records together by it.
func RoutingRef(u *kyc.Update, personal []RefKind) string {
	for _, kinds := range [...][]RefKind{personal, refKinds} {
		for _, kind := range kinds {
			if ref := kind.of(u); ref != "" {
				return ref
			}
		}
	}
	return ""
}
