package gate

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/deploy/tests/gate/careless"
)

// mutationTime is how long changed messages are sent.
const mutationTime = 4 * time.Second

// pieces are what a change inserts.
var pieces = []string{
	`"name":"get-env"`, `"Name":"get-env"`, `"NAME":"transfer"`, `"method":"tools/call"`, `"Method":"tools/call"`, `"params":{"name":"get-env"}`, `"paramſ":{"name":"get-env"}`,
	`,`, `"`, `\`, `{`, `}`, `[`, `]`, `:`, " ", "\r", "\x00", "\u2028", "\ufeff", "\xff", `\u0000`, `\ud800`, `\/`, `null`, `"__proto__":`, `"id":2`, `"_meta":{"countersign/receipt":"x"}`, envCall,
}

// mutated returns a message with one to four changes.
func mutated(random *rand.Rand, text string) string {
	for range 1 + random.IntN(4) {
		at := random.IntN(len(text) + 1)
		switch random.IntN(5) {
		case 0: // insert a piece anywhere
			text = text[:at] + pieces[random.IntN(len(pieces))] + text[at:]
		case 1: // insert a member
			if brace := strings.IndexByte(text[at:], '{'); brace >= 0 {
				at += brace + 1
				text = text[:at] + pieces[random.IntN(len(pieces))] + "," + text[at:]
			}
		case 2: // remove a part
			text = text[:at] + text[min(len(text), at+1+random.IntN(8)):]
		case 3: // change a byte
			if at < len(text) {
				text = text[:at] + string([]byte{byte(random.IntN(256))}) + text[at+1:]
			}
		case 4: // put another message behind or inside
			text = text[:at] + corpus[random.IntN(60)].text + text[at:]
		}
	}
	return strings.ReplaceAll(text, "\n", " ")
}

// TestMutatedMessages sends changed messages of the corpus. GATE_SEED repeats a run.
func TestMutatedMessages(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano() % 1e9)
	if text := os.Getenv("GATE_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		must(t, err)
	}
	random := rand.New(rand.NewPCG(seed, 0))
	d, r := newCountersign(t), newRecord(t)
	p := startStdioGate(t, d, r, []string{"--wait", "0s"})
	p.answers(`{}`, true)
	r.next(t)
	originals := slices.DeleteFunc(small(corpus), func(m message) bool { return len(m.text) > 1000 })
	known := map[int][]string{} // all lines, by length
	sent, attacks, passed := 0, 0, 0
	for end := time.Now().Add(mutationTime); time.Now().Before(end); {
		var lines []string
		for range 50 {
			line := mutated(random, fill(originals[random.IntN(len(originals))].text))
			if len(unapproved(runBy(line), nil)) > 0 {
				attacks++
			}
			lines, known[len(line)] = append(lines, line), append(known[len(line)], line)
		}
		sent += len(lines)
		p.answers(strings.Join(lines, "\n"), false)
		entries := r.next(t)
		for _, e := range entries {
			if e.Raw == nil || strings.Contains(e.Raw.Start, `"ping-`) {
				continue
			}
			passed++
			if !slices.ContainsFunc(known[e.Raw.Bytes], func(line string) bool { return arrived([]entry{e}, line) }) {
				t.Errorf("GATE_SEED=%d: the server got what was not sent: %q", seed, e.Raw.Start)
			}
		}
		if calls := unapproved(entries, d.Approvals()); len(calls) > 0 {
			t.Fatalf("GATE_SEED=%d: protected tools ran: %v after %q", seed, calls, lines)
		}
	}
	if answer := p.call("alive", "get-sum", `{}`); kind(t, answer, true) != ran {
		t.Errorf("GATE_SEED=%d: an open call got %s", seed, answer)
	}
	if attacks == 0 || passed == 0 {
		t.Errorf("of %d messages, %d were attacks and %d passed", sent, attacks, passed)
	}
	t.Logf("%d messages, %d of them attacks; %d passed", sent, attacks, passed)
}

// runBy returns what careless servers run after a message.
func runBy(text string) (entries []entry) {
	for _, call := range careless.Calls([]byte(text)) {
		entries = append(entries, entry{Call: &call})
	}
	return entries
}
