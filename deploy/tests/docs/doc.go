// Package docs runs the commands that the documentation marks as runnable, against the stack that `make run` starts.
package docs
