package gate

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/hold"
	"github.com/countersign/countersign/services/gate/internal/message"
)

// FuzzState checks that only a text that a gate with this key sealed is its requestState, and that every other text is refused or left
// to the server.
func FuzzState(f *testing.F) {
	sealer, err := hold.NewSealer(client.NewSecret("key"))
	if err != nil {
		f.Fatal(err)
	}
	g := New(Config{Sealer: sealer})
	caller := Caller{Person: client.Person{Customer: "c"}}
	m, err := message.Parse([]byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"transfer","arguments":{"a":1}}}`))
	if err != nil {
		f.Fatal(err)
	}
	call, err := m.Call()
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := g.sealQuestion(g.request(caller, call, nil), client.Approval{ID: "a", ExpiresAt: time.Now().Add(24 * time.Hour)})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"", statePrefix, sealed, sealed + "=", sealed + "\n", sealed[:len(sealed)-1] + "_", strings.ToUpper(sealed), " " + sealed, "of the server"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := call
		c.RequestState = &text
		r := g.request(caller, c, nil)
		err := g.openState(r)
		var refused *stateError
		switch {
		case err == nil && r.state != nil: // the fuzzer has another process with the same key
			box, _ := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, statePrefix))
			if r.state.Approval != "a" || r.call.RequestState != nil || statePrefix+base64.RawURLEncoding.EncodeToString(box) != text {
				t.Errorf("%q is accepted: %+v", text, r.state)
			}
		case text == sealed:
			t.Errorf("the gate's own state is refused: %v", err)
		case strings.HasPrefix(text, statePrefix):
			if !errors.As(err, &refused) || r.state != nil {
				t.Errorf("%q is accepted: %v", text, err)
			}
		case err != nil || r.state != nil || *r.call.RequestState != text:
			t.Errorf("the server's state %q was changed: %v", text, err)
		}
	})
}
