package child

import (
	"io"
	"os"
	"strings"
)

const lastLinesBytes = 8 << 10

// LastLines returns at most n lines from the end of a log, for an error message. It returns an empty string if there is no log.
func LastLines(log string, n int) string {
	f, err := os.Open(log)
	if err != nil {
		return ""
	}
	defer f.Close()
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		f.Seek(max(0, size-lastLinesBytes), io.SeekStart)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
