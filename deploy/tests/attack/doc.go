// Package attack tests that no client gets more guesses than the guess budget allows. It starts real replicas of pin-internal,
// a Postgres and a Redis, sends many guesses in parallel, injects faults into the network, and kills and freezes processes.
// Its tests have the build tag attack, and make attack runs them. All connections stay on loopback. docs/reliability.md states
// the promises.
package attack
