package app

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestLogWithoutAReaderDoesNotBlock(t *testing.T) {
	t.Parallel()
	in, out := io.Pipe()
	log := newLogWriter(out)
	const sent = 3 * waitingLines
	for i := range sent {
		if _, err := fmt.Fprintf(log, "line %d\n", i); err != nil {
			t.Fatal(err)
		}
	}
	read := make(chan string)
	go func() {
		all, _ := io.ReadAll(in)
		read <- string(all)
	}()
	log.Close()
	out.Close()
	got := <-read
	var lines, dropped int
	for line := range strings.Lines(got) {
		if strings.HasPrefix(line, "line ") {
			lines++
		} else {
			_, counted, _ := strings.Cut(line, `"lines":`)
			var n int
			fmt.Sscan(counted, &n)
			dropped += n
		}
	}
	if dropped == 0 || lines+dropped != sent {
		t.Errorf("%d lines were written and %d dropped", lines, dropped)
	}
}

func TestLogIsWrittenAtTheEnd(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := newLogWriter(&out)
	fmt.Fprintln(log, "one")
	fmt.Fprintln(log, "two")
	log.Close()
	fmt.Fprintln(log, "after the end")
	if out.String() != "one\ntwo\n" {
		t.Errorf("%q", out.String())
	}
}
