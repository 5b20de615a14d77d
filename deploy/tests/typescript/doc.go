// Package typescript checks that a TypeScript program computes the same hash of an action as pkg/client/action, and verifies the
// receipts that pkg/client/receipt describes. It uses the libraries canonicalize and jose.
package typescript
