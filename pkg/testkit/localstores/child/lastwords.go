package child

import (
	"io"
	"os"
	"strings"
)

const lastWordsBytes = 8 << 10

// LastWords returns the last lines of a log, at most n of them, for the message about a process that failed. It is
// empty when there is no log.
func LastWords(log string, n int) string {
	f, err := os.Open(log)
	if err != nil {
		return ""
	}
	defer f.Close()
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		f.Seek(max(0, size-lastWordsBytes), io.SeekStart)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
