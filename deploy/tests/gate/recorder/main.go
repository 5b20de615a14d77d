// Command recorder is an MCP server that reads every message in all the ways in which a careless server could read it, and records
// which calls those servers would run. It uses no SDK. Flags add the faults of bad servers.
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"

	"github.com/countersign/countersign/deploy/tests/gate/careless"
)

var (
	listen   = flag.String("listen", "", "serve HTTP on this address instead of stdio")
	path     = flag.String("record", "", "append what happens to this file, as JSON lines")
	stubborn = flag.Bool("stubborn", false, "ignore SIGTERM and the end of stdin")
	noise    = flag.Bool("noise", false, "write to stderr without end")
	fork     = flag.Bool("fork", false, "start another process that never ends")
	daemon   = flag.Bool("daemon", false, "start another process in its own session that never ends")
	forever  = flag.Bool("forever", false, "do nothing, and never end")
)

// Record is one line of the record. Exactly one field is set.
type Record struct {
	Raw    *Raw           `json:"raw,omitempty"`
	Call   *careless.Call `json:"call,omitempty"`
	Listen string         `json:"listen,omitempty"`
	PID    int            `json:"pid,omitempty"`
}

// Raw is a message as it arrived: a line without its end, or a body.
type Raw struct {
	// Request is the method and the target of the HTTP request.
	Request string `json:"request,omitempty"`
	Bytes   int    `json:"bytes"`
	SHA256  string `json:"sha256"`
	// Start is for people.
	Start string `json:"start"`
}

type recorder struct {
	mu     sync.Mutex
	file   *os.File
	parked map[string][]func() // by group, see the tool "together"
}

func main() {
	flag.Parse()
	r := &recorder{parked: map[string][]func(){}}
	if *forever || *stubborn {
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT)
	}
	if *forever {
		select {}
	}
	if *path != "" {
		var err error
		if r.file, err = os.OpenFile(*path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
			fail(err)
		}
	}
	r.record(Record{PID: os.Getpid()})
	if *fork || *daemon {
		r.startAnother()
	}
	if *noise {
		go func() {
			for {
				fmt.Fprintln(os.Stderr, "noise: this line does not end the noise")
			}
		}()
	}
	if *listen != "" {
		fail(r.serveHTTP(*listen))
	}
	r.serveStdio()
	if *stubborn {
		select {}
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// startAnother starts a process that does nothing and ignores SIGTERM.
func (r *recorder) startAnother() {
	cmd := exec.Command(os.Args[0], "-forever")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: *daemon}
	if err := cmd.Start(); err != nil {
		fail(err)
	}
	r.record(Record{PID: cmd.Process.Pid})
}

func (r *recorder) record(records ...Record) {
	if r.file == nil {
		return
	}
	var text []byte
	for _, record := range records {
		line, err := json.Marshal(record)
		if err != nil {
			fail(err)
		}
		text = append(append(text, line...), '\n')
	}
	if _, err := r.file.Write(text); err != nil {
		fail(err)
	}
}

// received records a message, and the calls that servers would run because of it.
func (r *recorder) received(request string, header http.Header, raw []byte) {
	if r.file == nil {
		return
	}
	hash := sha256.Sum256(raw)
	records := []Record{{Raw: &Raw{Request: request, Bytes: len(raw), SHA256: hex.EncodeToString(hash[:]), Start: string(raw[:min(len(raw), 200)])}}}
	for _, call := range append(careless.Calls(raw), careless.Routed(header, raw)...) {
		records = append(records, Record{Call: &call})
	}
	r.record(records...)
}

func (r *recorder) serveStdio() {
	var out sync.Mutex
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil && len(line) == 0 {
			return
		}
		if len(line) > 0 && line[len(line)-1] == '\n' {
			line = line[:len(line)-1]
		}
		r.received("", nil, line)
		r.answer(line, func(answer []byte) {
			out.Lock()
			defer out.Unlock()
			if _, err := os.Stdout.Write(append(answer, '\n')); err != nil {
				os.Exit(0)
			}
		})
	}
}
