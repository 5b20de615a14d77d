package gate

import (
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/client"
	"github.com/countersign/countersign/pkg/client/clienttest"
	"github.com/countersign/countersign/pkg/client/hold"
	"github.com/countersign/countersign/services/gate/internal/message"
)

// chain is a gate behind a gate. It returns the answer, or the call that reaches the server.
func chain(t *testing.T, outer, inner *Gate, c message.Call) (answer []byte, reached *message.Call) {
	t.Helper()
	first := outer.Judge(t.Context(), person, c, receiver{})
	if first.Forward == nil {
		return first.Answer, nil
	}
	second := inner.Judge(t.Context(), person, forwarded(t, first), receiver{})
	if second.Forward != nil {
		passed := forwarded(t, second)
		return nil, &passed
	}
	if first.Response != nil {
		return first.Response(second.Answer), nil
	}
	return second.Answer, nil
}

func TestGateBehindAGateNeedsBothApprovals(t *testing.T) {
	t.Parallel()
	outside, outer := start(t)
	inside, other := start(t)
	for name, test := range map[string]struct {
		countersign *clienttest.Countersign
		inner       *Gate
	}{
		"the same Countersign": {outside, another(t, outside)},
		"another Countersign":  {inside, other},
	} {
		waiting, _ := chain(t, outer, test.inner, transfer(t, url))
		outside.Decide("approved")
		second, _ := chain(t, outer, test.inner, transfer(t, retry(readAsked(t, Verdict{Answer: waiting}), "accept")))
		test.countersign.Decide("approved")
		_, reached := chain(t, outer, test.inner, transfer(t, retry(readAsked(t, Verdict{Answer: second}), "accept")))
		if reached == nil || reached.RequestState != nil || reached.InputResponses != nil {
			t.Fatalf("%s: the server gets %+v", name, reached)
		}
		approvals := test.countersign.Approvals()
		if last := approvals[len(approvals)-1]; last.Status != "used" || strings.Count(string(reached.Raw), `"countersign/receipt":"`+last.Proof+`"`) != 1 {
			t.Errorf("%s: the server gets %s, the last approval is %+v", name, reached.Raw, last)
		}
	}
}

// The outer gate cannot tell a requestState of another gate from a forged one, so it refuses it.
func TestGateBehindAnOpenGateNeedsTheText(t *testing.T) {
	t.Parallel()
	_, outer := start(t)
	inside, inner := start(t, func(c *Config) {
		sealer, err := hold.NewSealer(client.NewSecret("another proxy key"))
		if err != nil {
			t.Fatal(err)
		}
		c.SkillPrefix, c.Sealer, c.Wait = "inner.", sealer, 0
	})
	inside.Mode("approval")
	c := call(t, "read", `{}`, url)
	asking, _ := chain(t, outer, inner, c)
	refused, reached := chain(t, outer, inner, call(t, "read", `{}`, retry(readAsked(t, Verdict{Answer: asking}), "accept")))
	if a := read(t, Verdict{Answer: refused}); reached != nil || a.Error == nil || a.Error.Code != message.CodeInvalidParams {
		t.Errorf("%s", refused)
	}
	inner.BestStep = Text
	if waiting, _ := chain(t, outer, inner, c); !strings.Contains(string(waiting), clienttest.Link) {
		t.Errorf("%s", waiting)
	}
	inside.Decide("approved")
	if answer, reached := chain(t, outer, inner, c); reached == nil || !strings.Contains(string(reached.Raw), message.Receipt) {
		t.Errorf("the call does not run: %s", answer)
	}
}
