package hook

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// FuzzRead checks that the call that is judged is the call that the agent reads, whichever way it reads JSON.
func FuzzRead(f *testing.F) {
	f.Add([]byte(deploy))
	f.Add([]byte(`{"tool_name":"Read","Tool_Name":"Bash","tool_input":{}}`))
	f.Add([]byte(`{"tool_name":"Read","tool_n\u0061me":"Bash","tool_input":{"a":1},"tool_input":{}}`))
	f.Add([]byte(`{"ſession":1,"tool_name":"\ud83d\ude00","tool_input":{ }}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		in, err := read(bytes.NewReader(content), 1<<16)
		if err != nil {
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("the error repeats the input: %v", err)
			}
			return
		}
		var folding struct { // the last of equal keys, without regard to the case
			Name  string          `json:"tool_name"`
			Input json.RawMessage `json:"tool_input"`
		}
		var exact map[string]json.RawMessage // the last of equal keys
		if err := json.Unmarshal(content, &folding); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(content, &exact); err != nil {
			t.Fatal(err)
		}
		var name string
		if err := json.Unmarshal(exact["tool_name"], &name); err != nil || name != in.tool || folding.Name != in.tool {
			t.Errorf("judged as %q, read as %q and %q", in.tool, name, folding.Name)
		}
		if !bytes.Equal(exact["tool_input"], in.arguments) || !bytes.Equal(folding.Input, in.arguments) {
			t.Errorf("judged with %s, read with %s and %s", in.arguments, exact["tool_input"], folding.Input)
		}
	})
}
