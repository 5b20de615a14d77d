// Package browser clicks through the console and the documentation with a real browser, against a stack that was started
// as make run starts it.
package browser
