package app

import (
	"bytes"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

const (
	// waitingLines is how many log lines can wait until they are read.
	waitingLines = 1000
	// flushTime is how long the program waits at its end until the last lines are read.
	flushTime = time.Second
)

// logWriter writes log lines in a goroutine of its own, and drops lines if they are not read. Many clients never read the standard
// error of a server: a write would then block, and with it the call that is logged.
type logWriter struct {
	lines   chan []byte
	dropped atomic.Int64
	closing chan struct{}
	closed  chan struct{}
}

// newLogWriter returns a logWriter. Close ends it.
func newLogWriter(out io.Writer) *logWriter {
	w := &logWriter{lines: make(chan []byte, waitingLines), closing: make(chan struct{}), closed: make(chan struct{})}
	go w.run(out)
	return w
}

func (w *logWriter) run(out io.Writer) {
	defer close(w.closed)
	for {
		select {
		case line := <-w.lines:
			w.write(out, line)
		case <-w.closing:
			for len(w.lines) > 0 {
				w.write(out, <-w.lines)
			}
			w.reportDropped(out)
			return
		}
	}
}

func (w *logWriter) write(out io.Writer, line []byte) {
	w.reportDropped(out)
	out.Write(line) //nolint:errcheck // there is no other place to report it
}

func (w *logWriter) reportDropped(out io.Writer) {
	if n := w.dropped.Swap(0); n > 0 {
		fmt.Fprintf(out, `{"level":"WARN","msg":"log lines were dropped, because standard error was not read","service":"gate","lines":%d}`+"\n", n)
	}
}

// Write takes one line. It never blocks and never fails.
func (w *logWriter) Write(line []byte) (int, error) {
	select {
	case w.lines <- bytes.Clone(line):
	default:
		w.dropped.Add(1)
	}
	return len(line), nil
}

// Close writes the lines that wait.
func (w *logWriter) Close() error {
	close(w.closing)
	select {
	case <-w.closed:
	case <-time.After(flushTime):
	}
	return nil
}
