// Package docs runs the commands that the documentation marks as runnable, against the stack that `make run` starts. It also tests
// pkg/client, which the documentation uses, against this stack.
package docs
