package proxy

import (
	"bytes"
	"encoding/json"
	"strings"
)

// hidesMessage reports whether one of several lines of a message is a message of its own, or a batch. A bridge that writes bodies as they
// are to the stdin of a server would send it as one.
func hidesMessage(raw []byte) bool {
	if bytes.IndexByte(raw, '\n') < 0 {
		return false
	}
	for line := range bytes.Lines(raw) {
		line = bytes.TrimSpace(line)
		first := json.NewDecoder(bytes.NewReader(line)) // some readers ignore what follows the first value
		var members map[string]json.RawMessage
		var batch []json.RawMessage
		switch {
		case bytes.HasPrefix(line, []byte("{")) && first.Decode(&members) == nil:
			for name := range members {
				if strings.EqualFold(name, "method") {
					return true
				}
			}
		case bytes.HasPrefix(line, []byte("[")) && bytes.IndexByte(line, '{') > 0 && first.Decode(&batch) == nil:
			return true
		}
	}
	return false
}
