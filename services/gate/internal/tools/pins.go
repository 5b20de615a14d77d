package tools

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Pins notices when a server changes a tool after a person has approved a call of it. Several goroutines may use it.
type Pins struct {
	file    string
	log     *slog.Logger
	changes prometheus.Counter

	mu sync.Mutex
	// seen is what the tools were in the last lists, and pinned what they were when a call was approved for the first time. A tool
	// without a list before its approval is in waiting. reported is the last change that was logged.
	seen, pinned, reported map[string]string
	waiting                map[string]bool
}

// pinsFile is the content of the file: the hash of each pinned tool.
type pinsFile struct {
	Tools map[string]string `json:"tools"`
}

// OpenPins reads the pins in a file, and makes the file if it does not exist. Without a file, the pins end with the process.
func OpenPins(file string, log *slog.Logger, registry prometheus.Registerer) (*Pins, error) {
	p := &Pins{file: file, log: log, seen: map[string]string{}, pinned: map[string]string{}, reported: map[string]string{}, waiting: map[string]bool{},
		changes: prometheus.NewCounter(prometheus.CounterOpts{Name: "countersign_gate_tool_changes_total", Help: "Tools that changed after a call of them was approved."})}
	registry.MustRegister(p.changes)
	if file == "" {
		return p, nil
	}
	kept, err := readPins(file)
	if err != nil {
		return nil, err
	}
	p.pinned = kept
	return p, p.write() // a folder that does not exist must not be noticed at the first approval
}

func readPins(file string) (map[string]string, error) {
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the pins: %w", err)
	}
	var read pinsFile
	if json.Unmarshal(content, &read) != nil || read.Tools == nil {
		return nil, fmt.Errorf("reading the pins: %s is not a file of pins; remove it to begin again", file)
	}
	return read.Tools, nil
}

// Response takes a response of the server to tools/list.
func (p *Pins) Response(message []byte) {
	var r response
	if json.Unmarshal(message, &r) == nil && r.Result != nil {
		p.Listed(r.Result)
	}
}

// Listed takes the result of a tools/list of the server. A tool that is not the pinned one is logged once and counted.
func (p *Pins) Listed(result json.RawMessage) {
	all, _, err := readDescriptions(result)
	if err != nil {
		return // the client reads the same result, and decides about it
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, tool := range all {
		hash, err := tool.hash()
		if err != nil || len(p.seen) >= maxTools && p.seen[tool.Name] == "" {
			continue
		}
		p.seen[tool.Name] = hash
		if p.waiting[tool.Name] {
			p.pin(tool.Name)
		}
		if pinned := p.pinned[tool.Name]; pinned != "" && pinned != hash && p.reported[tool.Name] != hash {
			p.reported[tool.Name] = hash
			p.changes.Inc()
			p.log.Warn("the server changed a tool after a call of it was approved", "tool", Printable(tool.Name))
		}
	}
}

// Approved notes that a call of a tool was approved.
func (p *Pins) Approved(tool string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pinned[tool] == "" {
		p.pin(tool)
	}
}

// pin pins a tool as the server listed it last. The caller holds the lock.
func (p *Pins) pin(tool string) {
	hash := p.seen[tool]
	if p.waiting[tool] = hash == ""; p.waiting[tool] {
		return
	}
	delete(p.waiting, tool)
	p.pinned[tool] = hash
	if p.file == "" {
		return
	}
	if err := p.write(); err != nil {
		p.log.Error("the pins of the tools are not kept", "error", err.Error())
	}
}

// write replaces the file, so that it is never half written. It keeps the pins that another gate added.
func (p *Pins) write() error {
	all, err := readPins(p.file)
	if err != nil {
		return err
	}
	for tool, hash := range p.pinned {
		all[tool] = hash
	}
	content, err := json.MarshalIndent(pinsFile{all}, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the pins: %w", err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(p.file), ".pins-") // has the mode 0600
	if err != nil {
		return fmt.Errorf("writing the pins: %w", err)
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(append(content, '\n'))
	if err := errors.Join(err, temporary.Close()); err != nil {
		return fmt.Errorf("writing the pins: %w", err)
	}
	if err := os.Rename(temporary.Name(), p.file); err != nil {
		return fmt.Errorf("writing the pins: %w", err)
	}
	return nil
}

// hash returns the SHA-256 of what a client and its model read about a tool. The order of the keys does not count.
func (d description) hash() (string, error) {
	var sorted any
	raw, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("hashing a tool: %w", err)
	}
	numbers := json.NewDecoder(bytes.NewReader(raw))
	numbers.UseNumber()
	if err := numbers.Decode(&sorted); err != nil {
		return "", fmt.Errorf("hashing a tool: %w", err)
	}
	if raw, err = json.Marshal(sorted); err != nil {
		return "", fmt.Errorf("hashing a tool: %w", err)
	}
	hash := sha256.Sum256(raw)
	return hex.EncodeToString(hash[:]), nil
}
