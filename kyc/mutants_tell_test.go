//go:build mutants

package kyc

// tellMutants change what is told, and what becomes of records.
func tellMutants() []mutant {
	return nil
}
