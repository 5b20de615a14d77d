package proxy

import "testing"

func TestLinesThatAreMessages(t *testing.T) {
	t.Parallel()
	const call = `{"id":1,"m\u0065thod":"tools/call"}`
	for text, want := range map[string]bool{
		call:                            false,
		"{\"x\":\n" + call + "}":        true,
		"{\"x\":[\n " + call + ",1]\n}": true,
		"{\"x\":\n[" + call + "]\n}":    true,
		"{\"x\":\n{\"METHOD\":1}\n}":    true,
		"{\n  \"x\": {\"method\": 1},\n  \"y\": [\n    {},\n    {\"a\": 1},\n    []\n  ]\n}": false,
		"{\"x\":\n" + call[:10]: false,
	} {
		if got := hidesMessage([]byte(text)); got != want {
			t.Errorf("%v instead of %v for %q", got, want, text)
		}
	}
}
