package gate

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/deploy/tests/gate/careless"
	"github.com/countersign/countersign/pkg/client/action"
	"github.com/countersign/countersign/pkg/client/clienttest"
)

// The tools that the policy of these tests protects.
var protected = []string{"get-env", "transfer"}

// record is what a recorder wrote. It may be the record of more than one process.
type record struct {
	path string
	read int // the bytes that next returned
}

// entry is one line of a record.
type entry struct {
	Raw *struct {
		Request string
		Bytes   int
		SHA256  string
		Start   string
	}
	Call   *careless.Call
	Listen string
	PID    int
}

func newRecord(t testing.TB) *record {
	return &record{path: filepath.Join(t.TempDir(), "record")}
}

// next returns the entries since the last call.
func (r *record) next(t testing.TB) (entries []entry) {
	t.Helper()
	all, err := os.ReadFile(r.path)
	must(t, err)
	complete := all[r.read : bytes.LastIndexByte(all, '\n')+1]
	r.read += len(complete)
	for line := range bytes.Lines(complete) {
		var e entry
		must(t, json.Unmarshal(line, &e))
		entries = append(entries, e)
	}
	return entries
}

// all returns all entries.
func (r *record) all(t testing.TB) []entry { return (&record{path: r.path}).next(t) }

// await returns the first entry that f accepts.
func (r *record) await(t testing.TB, f func(entry) bool) entry {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(r.path); err != nil {
			continue
		}
		for _, e := range r.all(t) {
			if f(e) {
				return e
			}
		}
	}
	t.Fatal("the recorder did not record this in time")
	return entry{}
}

// unapproved returns the calls of protected tools that ran without the receipt for exactly this call, or with a receipt that the same
// server got before.
func unapproved(entries []entry, approvals []clienttest.Asked) (calls []careless.Call) {
	used := map[string]bool{}
	for _, e := range entries {
		if e.Call == nil || !isProtected(e.Call.Tool) {
			continue
		}
		once := e.Call.Reading + " " + e.Call.Receipt
		if used[once] || !approved(*e.Call, approvals) {
			calls = append(calls, *e.Call)
		}
		used[once] = true
	}
	return calls
}

func isProtected(tool string) bool {
	for _, name := range protected {
		if strings.EqualFold(strings.TrimSpace(tool), name) {
			return true
		}
	}
	return false
}

// approved reports whether the receipt of a call is the receipt of an approval of exactly this call.
func approved(call careless.Call, approvals []clienttest.Asked) bool {
	arguments, err := action.Canonical([]byte(call.Arguments))
	for _, a := range approvals {
		if err == nil && call.Receipt != "" && a.Grants == "action" && a.Proof == call.Receipt && strings.EqualFold(a.Skill, call.Tool) && a.Arguments == arguments {
			return true
		}
	}
	return false
}

// arrived reports whether a message arrived byte for byte.
func arrived(entries []entry, message string) bool {
	for _, e := range entries {
		if e.Raw == nil || e.Raw.Bytes != len(message) {
			continue
		}
		if hash := sha256.Sum256([]byte(message)); e.Raw.SHA256 == hex.EncodeToString(hash[:]) {
			return true
		}
	}
	return false
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
