package stdio

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"sync"
	"unicode"
)

// bufferSize is the size of the buffers for reading. Longer lines are collected in memory, up to a limit.
const bufferSize = 64 << 10

// readLine returns the next line with its end. whole is false if the line has more than limit bytes, and at the end of the input. Then
// it is the beginning of a line.
func readLine(in *bufio.Reader, limit func() int) (line []byte, whole bool, err error) {
	// Parts, because a slice that grows by append leaves many times its size to the garbage collector.
	var parts [][]byte
	for size := 0; ; {
		part, err := in.ReadSlice('\n')
		parts = append(parts, bytes.Clone(part))
		size += len(part)
		full := errors.Is(err, bufio.ErrBufferFull)
		switch {
		case !full && len(parts) == 1:
			return parts[0], err == nil, err
		case !full:
			return bytes.Join(parts, nil), err == nil, err
		case size > limit():
			return bytes.Join(parts, nil), false, nil
		}
	}
}

// copyLine writes the rest of a line to out.
func copyLine(in *bufio.Reader, out io.Writer) error {
	for {
		part, err := in.ReadSlice('\n')
		if _, failed := out.Write(part); failed != nil {
			return failed
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

// withoutEnd returns a line without "\n" or "\r\n".
func withoutEnd(line []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
}

// hidesMessage reports whether a part of a line could be taken for a message. Some readers also end a line at U+0085, U+2028 and U+2029
// (Python's splitlines, Java's Scanner), which JSON allows in texts. A text could then contain a call of a tool.
func hidesMessage(raw []byte) bool {
	for _, separator := range []string{"\u0085", "\u2028", "\u2029"} {
		for rest := raw; ; {
			var found bool
			if _, rest, found = bytes.Cut(rest, []byte(separator)); !found {
				break
			}
			rest = bytes.TrimLeftFunc(rest, func(r rune) bool { return unicode.IsSpace(r) || r == '\ufeff' })
			if len(rest) > 0 && (rest[0] == '{' || rest[0] == '[') {
				return true
			}
		}
	}
	return false
}

// output writes whole lines. Several goroutines may use it.
type output struct {
	mu   sync.Mutex
	w    io.Writer
	torn bool // the last line has no end
}

// Send writes a message of the gate, in a line of its own.
func (o *output) Send(message []byte) error {
	line := make([]byte, 0, len(message)+2)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.torn {
		line = append(line, '\n')
	}
	return o.write(append(append(line, message...), '\n'))
}

// CanReceive makes an output a gate.Client.
func (o *output) CanReceive() bool { return true }

// line writes bytes as they are.
func (o *output) line(line []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.write(line)
}

// long writes a line whose rest is read from in. Nothing else is written before its end.
func (o *output) long(begin []byte, in *bufio.Reader) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.write(begin); err != nil {
		return err
	}
	err := copyLine(in, o.w)
	o.torn = err != nil
	return err
}

// write needs the lock.
func (o *output) write(line []byte) error {
	if len(line) == 0 {
		return nil
	}
	o.torn = line[len(line)-1] != '\n'
	_, err := o.w.Write(line)
	return err
}
