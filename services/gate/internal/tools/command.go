package tools

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/countersign/countersign/services/gate/internal/child"
)

// Command is a server that speaks over its standard input and output.
type Command struct {
	process *child.Process
	lines   chan []byte // closed at the end of the output
	broken  error       // valid when lines is closed
	done    chan struct{}
}

// Start starts a command with an environment of the form of os.Environ. Its errors go to log. Close ends it.
func Start(command, environment []string, log io.Writer) (*Command, error) {
	process, err := child.Start(command, environment, log)
	if err != nil {
		return nil, err
	}
	c := &Command{process: process, lines: make(chan []byte), done: make(chan struct{})}
	go c.read(process.Stdout)
	return c, nil
}

// read reads lines until the output ends or Close is called.
func (c *Command) read(out io.Reader) {
	defer close(c.lines)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, maxMessage)
	for lines.Scan() {
		select {
		case c.lines <- bytes.Clone(lines.Bytes()):
		case <-c.done:
			return
		}
	}
	if c.broken = lines.Err(); errors.Is(c.broken, bufio.ErrTooLong) {
		c.broken = errors.New("a message of the server is too long")
	}
}

func (c *Command) agreed(string) {}

func (c *Command) exchange(ctx context.Context, r request) (json.RawMessage, error) {
	if err := c.send(ctx, r); err != nil || r.ID == 0 {
		return nil, err
	}
	foreign := 0 // lines that are not JSON; some servers print such lines when they start
	for {
		select {
		case <-ctx.Done():
			if foreign > 0 {
				return nil, fmt.Errorf("the server does not answer %s (%d lines of its output are not JSON): %w", r.Method, foreign, ctx.Err())
			}
			return nil, fmt.Errorf("the server does not answer %s: %w", r.Method, ctx.Err())
		case line, open := <-c.lines:
			if !open {
				return nil, errors.Join(fmt.Errorf("the server ended before it answered %s", r.Method), c.broken)
			}
			var m response
			switch {
			case json.Unmarshal(line, &m) != nil:
				foreign++
			case m.Method == "" && string(m.ID) == strconv.Itoa(r.ID):
				return m.result()
			case m.Method != "" && m.ID != nil:
				if err := c.refuse(ctx, m); err != nil {
					return nil, err
				}
			}
		}
	}
}

// refuse answers a request of the server: a ping with a result, everything else with an error.
func (c *Command) refuse(ctx context.Context, m response) error {
	answer := map[string]any{"jsonrpc": "2.0", "id": m.ID}
	if m.Method == "ping" {
		answer["result"] = map[string]any{}
	} else {
		answer["error"] = map[string]any{"code": -32601, "message": "Method not found"}
	}
	return c.send(ctx, answer)
}

// send writes a message. A server that does not read its input must not hold the gate, so the writing ends with ctx.
func (c *Command) send(ctx context.Context, m any) error {
	if r, ok := m.(request); ok {
		r.Version = "2.0"
		m = r
	}
	line, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("writing to the server: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { c.process.Stdin.Close() })
	defer stop()
	if _, err := c.process.Stdin.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("writing to the server: %w", err)
	}
	return nil
}

// Close ends the command and all processes that it started.
func (c *Command) Close() {
	close(c.done)
	c.process.Stop()
	c.process.Stdout.Close() // if an ended command left its output open, the reading ends too
	for range c.lines {
	}
}
