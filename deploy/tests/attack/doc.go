// Package attack tries to get one guess too many: against real replicas of pin-internal, as processes, on a real
// Postgres and a real Redis, with faults in the network between them, killed and frozen processes, and storms. Its tests
// carry the build tag attack; make attack runs them. Everything stays on loopback. docs/reliability.md says what is promised.
package attack
