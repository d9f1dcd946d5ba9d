// Package manynodes models many nodes over Kafka, as docs/CLUSTER.md has it: sections 2 to 4 are
// its rules, and section 9 says what it does not know yet. It is tests only, and no code of the
// product is in it yet: it says what the real fold, outbox and checkpoints will be held to. What
// the owner of a partition knows is a function of that partition's log alone; the tests live
// through random histories and hold every one of them to that.
package manynodes
