// Package browser tests the console, the pages of mail links and the API documentation in a real browser. It starts the same
// stack as make run.
package browser
